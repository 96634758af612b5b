"""Fill in the data of a revision while the service runs: a command, not a migration."""

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ..database.faults import Fault, fault_of
from .locking import Timeouts, retry_on_lock_timeout
from .online import run_with_long_timeouts

logger = logging.getLogger(__name__)

# No transaction lasts for a second. A batch that takes longer is cancelled and made smaller.
TIMEOUTS = Timeouts(lock=0.4, statement=0.8)
# Seconds that a batch should take.
TARGET_DURATION = 0.25
FIRST_BATCH_SIZE = 500
REPORT_INTERVAL = 2.0  # seconds


@dataclass(frozen=True)
class Backfill:
    """The work that a revision leaves, as SQL: `backfill = Backfill(…)` in the revision's file.

    Rows that meet `pending` are updated with `assignments`. After that they must not meet it any
    more. The `key` is unique, not NULL, and has an order: batches are ranges of it.
    """

    table: str
    pending: str
    assignments: str
    key: str = "id"

    def batch(self, after: object) -> str:
        """Return a statement that does a batch: its last key, its rows, and how many it changed."""
        start = "" if after is None else f"WHERE {self.key} > :after"
        return f"""
            WITH batch AS MATERIALIZED (
                SELECT {self.key} AS key FROM {self.table} {start}
                ORDER BY {self.key} LIMIT :size
            ), changed AS (
                UPDATE {self.table} SET {self.assignments} FROM batch
                WHERE {self.table}.{self.key} = batch.key AND ({self.pending})
                RETURNING 1
            )
            SELECT
                (SELECT key FROM batch ORDER BY key DESC LIMIT 1),
                (SELECT count(*) FROM batch),
                (SELECT count(*) FROM changed)
        """

    def run(self, connection: Connection) -> None:
        """Change the rows in batches. Each batch is committed, so you can stop and resume it.

        The size of a batch follows the time that the last one took. Raises CommandError when a row
        stays locked.
        """
        connection.commit()
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in TIMEOUTS.sql():
            connection.execute(text(statement))
        estimate = text("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:table)")
        total = connection.scalar(estimate, {"table": self.table}) or 0
        progress = Progress(self.table, total)
        after, size = None, FIRST_BATCH_SIZE
        while True:
            started = time.monotonic()
            batch = partial(
                connection.execute,
                text(self.batch(after)),
                {"after": after, "size": size} if after is not None else {"size": size},
            )
            try:
                end, rows, changed = retry_on_lock_timeout(batch).one()
            except DBAPIError as error:
                if fault_of(error) is not Fault.TIMED_OUT or size == 1:
                    raise
                size = max(1, size // 4)
                continue
            if rows == 0:
                break
            after = end
            progress.add(rows, changed)
            seconds = time.monotonic() - started
            size = max(1, min(2 * size, int(size * TARGET_DURATION / seconds)))
            time.sleep(seconds / 4)  # for replicas and autovacuum to keep up
        progress.report("done")


@dataclass
class Progress:
    """Count the rows that are done, and log them every two seconds."""

    table: str
    total: int
    rows: int = 0
    changed: int = 0
    reported: float = field(default_factory=time.monotonic)

    def add(self, rows: int, changed: int) -> None:
        """Count a batch."""
        self.rows += rows
        self.changed += changed
        if time.monotonic() > self.reported + REPORT_INTERVAL:
            self.reported = time.monotonic()
            # The server's estimate of the total may be old, or missing.
            share = f"{self.rows / self.total:.0%}" if self.rows <= self.total else "under way"
            self.report(share)

    def report(self, state: str) -> None:
        """Log a line."""
        logger.info("%s: %s, %d rows read, %d changed", self.table, state, self.rows, self.changed)


def require_backfilled(revision: str) -> None:
    """Stop a migration while the backfill of that earlier revision has pending rows.

    Call it first in the migration. It reads the table and blocks nobody. Raises CommandError. SQL
    that is written instead of run (`--sql`) does not check.
    """
    context = op.get_context()
    assert context.script is not None
    backfill = _backfill_of(context.script, revision)

    def check() -> None:
        statement = f"SELECT EXISTS (SELECT FROM {backfill.table} WHERE {backfill.pending})"
        if op.get_bind().scalar(text(statement)):
            raise CommandError(
                f"{backfill.table} has pending rows. Run the backfill of {revision} first.",
            )

    if not context.as_sql:
        run_with_long_timeouts(check)


def backfill(config: Config, revision: str) -> None:
    """Fill in the data of a revision, in short transactions; you can stop and resume it."""
    script = ScriptDirectory.from_config(config)
    work = _backfill_of(script, revision)

    def run(_heads: tuple[str, ...], context: MigrationContext) -> list[Any]:
        assert context.connection is not None
        work.run(context.connection)
        return []

    with EnvironmentContext(config, script, fn=run, dont_mutate=True):
        script.run_env()


def _backfill_of(script: ScriptDirectory, revision: str) -> Backfill:
    found = script.get_revision(revision)
    work = getattr(found.module, "backfill", None) if found else None
    if not isinstance(work, Backfill):
        raise CommandError(f"Revision {revision} has no `backfill = Backfill(…)`.")
    return work
