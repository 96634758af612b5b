"""Changes of tables that are in use, named as Alembic's operations: `online.create_index(…)`.

Each statement is a transaction of its own and retries when it does not get its lock in time. They
commit whatever precedes them, so put them in a revision of their own. You can run such a revision
again after it was killed. All of them raise CommandError after their last attempt.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any, TextIO

from alembic import op
from alembic.util import CommandError
from sqlalchemy import text

from .locking import LONG_TIMEOUTS, SHORT_TIMEOUTS, retry_on_lock_timeout

QUOTED_OR_SPACE = re.compile(r"""('[^']*'|"[^"]*"|\$(\w*)\$.*?\$\2\$|--.*?\n)|\s+""", re.DOTALL)
# Each attempt with the long timeouts takes up to ten minutes.
ATTEMPTS_WITH_LONG_TIMEOUTS = 3


def create_index(
    name: str,
    table: str,
    columns: Sequence[Any],
    **options: Any,
) -> None:
    """Create an index concurrently, with the options of op.create_index(); writes go on.

    Takes SHARE UPDATE EXCLUSIVE, which blocks other changes of the schema and VACUUM, and waits for
    the transactions that were open before. An invalid index of that name, left by a build that
    failed, is dropped first. A valid one is kept.
    """

    def create() -> None:
        _drop_invalid_index(name, table)
        op.create_index(
            op.f(name),
            table,
            columns,
            if_not_exists=True,
            postgresql_concurrently=True,
            **options,
        )

    run_with_long_timeouts(create)


def drop_index(name: str, table: str) -> None:
    """Drop an index concurrently, if it exists; writes go on.

    Takes SHARE UPDATE EXCLUSIVE and waits for the transactions that may use the index.
    """

    def drop() -> None:
        op.drop_index(op.f(name), table, if_exists=True, postgresql_concurrently=True)

    run_with_long_timeouts(drop)


def create_foreign_key(
    name: str,
    table: str,
    referred_table: str,
    columns: list[str],
    referred_columns: list[str],
    **options: Any,
) -> None:
    """Create a foreign key, with the options of op.create_foreign_key().

    First takes ACCESS EXCLUSIVE on the table and SHARE ROW EXCLUSIVE (no writes) on the referred
    one, both for a moment. From then on new rows are checked. Then checks the old rows under SHARE
    UPDATE EXCLUSIVE, while writes to both tables go on. Replaces a constraint of the same name.
    """

    def create() -> None:
        _drop_constraint(name, table)
        op.create_foreign_key(
            op.f(name),
            table,
            referred_table,
            columns,
            referred_columns,
            postgresql_not_valid=True,
            **options,
        )

    run_with_short_timeouts(create)
    _validate(name, table)


def create_check_constraint(name: str, table: str, condition: str) -> None:
    """Create a CHECK. Unlike in a model, `name` is the whole name: `ck_users_age`.

    First takes ACCESS EXCLUSIVE for a moment. From then on new rows are checked. Then checks the
    old rows under SHARE UPDATE EXCLUSIVE, while writes go on. Replaces a constraint of the same
    name.
    """

    def create() -> None:
        _drop_constraint(name, table)
        op.create_check_constraint(op.f(name), table, condition, postgresql_not_valid=True)

    run_with_short_timeouts(create)
    _validate(name, table)


def set_not_null(table: str, column: str) -> None:
    """Forbid NULL in a column.

    Takes ACCESS EXCLUSIVE for two moments. In between, a CHECK is validated under SHARE UPDATE
    EXCLUSIVE; with it, SET NOT NULL does not read the whole table.
    """

    def forbid() -> None:
        op.alter_column(table, column, nullable=False)
        _drop_constraint(check, table)

    check = "set_not_null"
    create_check_constraint(check, table, f"{quoted(column)} IS NOT NULL")
    run_with_short_timeouts(forbid)


def squawk_ignore(*rules: str) -> None:
    """Let squawk accept the next statement although it breaks the rules of those names."""
    context = op.get_context()
    if context.as_sql:
        context.output_buffer.write(f"-- squawk-ignore {', '.join(rules)}\n")


@contextmanager
def squawk_ignore_block(*rules: str) -> Iterator[None]:
    """Let squawk accept each statement of the block although it breaks these rules."""
    context = op.get_context()
    if not context.as_sql:
        yield
        return
    output = context.impl.output_buffer
    assert output is not None  # since it writes SQL
    context.impl.output_buffer = CommentedOutput(output, f"-- squawk-ignore {', '.join(rules)}")
    try:
        yield
    finally:
        context.impl.output_buffer = output


class CommentedOutput(StringIO):
    """Writes a comment before each statement, on a line of its own, for the next line only."""

    def __init__(self, output: TextIO, comment: str) -> None:
        super().__init__()
        self.output = output
        self.comment = comment

    def write(self, sql: str) -> int:
        """Write one statement, as Alembic does, on one line."""
        line = QUOTED_OR_SPACE.sub(lambda part: part[1] or " ", sql.strip())
        return self.output.write(f"{self.comment}\n{line}\n\n")


def quoted(name: str) -> str:
    """Return the name as SQL, in quotes where it needs them."""
    return op.get_context().dialect.identifier_preparer.quote(name)


def run_with_short_timeouts(work: Callable[[], object]) -> None:
    """Run work outside a transaction, with the timeouts that every migration has."""
    with op.get_context().autocommit_block():
        retry_on_lock_timeout(work)


def run_with_long_timeouts(work: Callable[[], object]) -> None:
    """Run a long statement that does not block writes, outside a transaction."""
    with op.get_context().autocommit_block():
        for statement in LONG_TIMEOUTS.sql():
            op.execute(statement)
        retry_on_lock_timeout(work, ATTEMPTS_WITH_LONG_TIMEOUTS)
        for statement in SHORT_TIMEOUTS.sql():
            op.execute(statement)


def _drop_constraint(name: str, table: str) -> None:
    squawk_ignore("ban-drop-constraint")
    op.drop_constraint(op.f(name), table, if_exists=True)


def _validate(name: str, table: str) -> None:
    statement = f"ALTER TABLE {quoted(table)} VALIDATE CONSTRAINT {quoted(name)}"
    run_with_long_timeouts(lambda: op.execute(statement))


def _drop_invalid_index(name: str, table: str) -> None:
    if op.get_context().as_sql:
        return
    statement = text(
        "SELECT indisvalid, indrelid = to_regclass(:table) FROM pg_index "
        "WHERE indexrelid = to_regclass(:name)",
    ).bindparams(name=quoted(name), table=quoted(table))
    for valid, of_table in op.get_bind().execute(statement):
        if not of_table:
            raise CommandError(f"The index {name} exists already, but not on the table {table}.")
        if not valid:
            op.drop_index(op.f(name), table, postgresql_concurrently=True)
