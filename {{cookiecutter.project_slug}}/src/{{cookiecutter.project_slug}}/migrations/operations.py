"""Changes of tables that are in use: each statement is a transaction of its own, and gives way.

What comes before them in a migration is committed, so they stand in a migration of their own; it
may be run again when it was killed in the middle.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from alembic import op
from alembic.util import CommandError
from sqlalchemy import text

from .running import BRIEF, PATIENT, give_way

QUOTED_OR_SPACE = re.compile(r"""('[^']*'|"[^"]*"|\$(\w*)\$.*?\$\2\$|--.*?\n)|\s+""", re.DOTALL)
# Waiting patiently is long already.
PATIENT_ATTEMPTS = 3


def create_index_concurrently(
    name: str,
    table: str,
    columns: Sequence[Any],
    **options: Any,
) -> None:
    """Creates an index, with the options of op.create_index(), while the table is written to.

    Takes SHARE UPDATE EXCLUSIVE, which blocks other changes of the schema, and VACUUM; waits for
    the transactions that were there before. An invalid index of that name, left by a build that
    failed, is dropped first; a valid one is kept.
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

    patiently(create)


def drop_index_concurrently(name: str, table: str) -> None:
    """Drops an index, if it is there, while the table is written to.

    Takes SHARE UPDATE EXCLUSIVE; waits for the transactions that may use the index.
    """

    def drop() -> None:
        op.drop_index(op.f(name), table, if_exists=True, postgresql_concurrently=True)

    patiently(drop)


def create_foreign_key(
    name: str,
    table: str,
    referred_table: str,
    columns: list[str],
    referred_columns: list[str],
    **options: Any,
) -> None:
    """Creates a foreign key, with the options of op.create_foreign_key().

    Takes ACCESS EXCLUSIVE on the table and SHARE ROW EXCLUSIVE (no writes) on the one referred to,
    both for a moment; from then on new rows are checked. The old ones are checked under SHARE
    UPDATE EXCLUSIVE, while both tables are written to. Replaces a constraint of the same name.
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

    briefly(create)
    _validate(name, table)


def create_check(name: str, table: str, condition: str) -> None:
    """Creates a CHECK whose name, unlike in a model, is the whole one: `ck_users_age`.

    Takes ACCESS EXCLUSIVE for a moment; from then on new rows are checked. The old ones are checked
    under SHARE UPDATE EXCLUSIVE, while the table is written to. Replaces a constraint of the same
    name.
    """

    def create() -> None:
        _drop_constraint(name, table)
        op.create_check_constraint(op.f(name), table, condition, postgresql_not_valid=True)

    briefly(create)
    _validate(name, table)


def set_not_null(table: str, column: str) -> None:
    """Forbids NULL in a column.

    Takes ACCESS EXCLUSIVE for two moments; in between, rows are checked under SHARE UPDATE
    EXCLUSIVE, by a CHECK that spares SET NOT NULL the reading of the whole table.
    """

    def forbid() -> None:
        op.alter_column(table, column, nullable=False)
        _drop_constraint(check, table)

    check = "set_not_null"
    create_check(check, table, f"{quoted(column)} IS NOT NULL")
    briefly(forbid)


def allow(*rules: str) -> None:
    """Has squawk accept the next statement, although it breaks the rules of those names."""
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
    write = context.impl.static_output
    comment = f"-- squawk-ignore {', '.join(rules)}"

    def write_ignored(sql: str) -> None:
        # The comment is for the next line only, so the statement has to be one.
        write(f"{comment}\n{QUOTED_OR_SPACE.sub(lambda part: part[1] or ' ', sql.strip())}")

    with patch.object(context.impl, "static_output", write_ignored):
        yield


def quoted(name: str) -> str:
    """The name as SQL."""
    return op.get_context().dialect.identifier_preparer.quote(name)


def briefly(work: Callable[[], object]) -> None:
    """Does work outside of a transaction, waiting for its locks as shortly as any migration."""
    with op.get_context().autocommit_block():
        give_way(work)


def patiently(work: Callable[[], object]) -> None:
    """Does work outside of a transaction that is long, and keeps nobody from writing."""
    with op.get_context().autocommit_block():
        for statement in PATIENT.sql():
            op.execute(statement)
        give_way(work, PATIENT_ATTEMPTS)
        for statement in BRIEF.sql():
            op.execute(statement)


def _drop_constraint(name: str, table: str) -> None:
    allow("ban-drop-constraint")
    op.drop_constraint(op.f(name), table, if_exists=True)


def _validate(name: str, table: str) -> None:
    statement = f"ALTER TABLE {quoted(table)} VALIDATE CONSTRAINT {quoted(name)}"
    patiently(lambda: op.execute(statement))


def _drop_invalid_index(name: str, table: str) -> None:
    if op.get_context().as_sql:
        return
    statement = text(
        "SELECT indisvalid, indrelid = to_regclass(:table) FROM pg_index "
        "WHERE indexrelid = to_regclass(:name)",
    ).bindparams(name=quoted(name), table=quoted(table))
    for valid, of_table in op.get_bind().execute(statement):
        if not of_table:
            raise CommandError(f"There is an index {name} already, of another table than {table}")
        if not valid:
            op.drop_index(op.f(name), table, postgresql_concurrently=True)
