"""How migrations run on a live database: one process at a time, with short waits for locks."""

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from alembic.util import CommandError
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from ..database.faults import sqlstate_of

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """PostgreSQL's lock_timeout and statement_timeout, in seconds."""

    lock: float
    statement: float

    def sql(self) -> list[str]:
        """Return the statements that set them for the session."""
        return [
            f"SET lock_timeout = '{self.lock:g}s'",
            f"SET statement_timeout = '{self.statement:g}s'",
        ]


# While a migration waits for a table, all other statements on it queue behind. The wait is longer
# than deadlock_timeout (1 s), after which an autovacuum that holds the lock is cancelled.
SHORT_TIMEOUTS = Timeouts(lock=2, statement=30)
# For statements that do not block reads and writes, such as CREATE INDEX CONCURRENTLY.
LONG_TIMEOUTS = Timeouts(lock=600, statement=3600)

MIGRATION_LOCK = -3_058_229_681_751_119_483
# Seconds to wait for another process that migrates the database.
LOCK_WAIT_LIMIT = 3600.0
POLL_INTERVAL = 0.25
REPORT_INTERVAL = 15.0

# Lock not available, and deadlock: the transaction has released its locks.
RETRYABLE = {"55P03", "40P01"}
ATTEMPTS = 30
LONGEST_DELAY = 20.0  # seconds


@contextmanager
def migration_lock(connection: Connection) -> Iterator[None]:
    """Hold the lock that lets one process at a time migrate, with the short timeouts.

    Polls an advisory lock of the session, between transactions. A blocking wait would deadlock: the
    holder's CREATE INDEX CONCURRENTLY waits for every open transaction, this one included. Raises
    CommandError after an hour.
    """
    started = time.monotonic()
    report_at = started
    while not connection.scalar(select(func.pg_try_advisory_lock(MIGRATION_LOCK))):
        if time.monotonic() > started + LOCK_WAIT_LIMIT:
            raise CommandError(
                f"{_holder(connection)} for an hour. Check whether it still works.",
            )
        if time.monotonic() > report_at:
            report_at += REPORT_INTERVAL
            logger.info("%s; waiting until it ends", _holder(connection))
        connection.commit()
        time.sleep(POLL_INTERVAL)
    try:
        for statement in SHORT_TIMEOUTS.sql():
            connection.execute(text(statement))
        # If this client is killed, its statement and its lock end soon.
        connection.execute(text("SET client_connection_check_interval = '1s'"))
        connection.commit()
        yield
    finally:
        connection.rollback()
        if not connection.invalidated:
            for name in ("lock_timeout", "statement_timeout", "client_connection_check_interval"):
                connection.execute(text(f"RESET {name}"))
            connection.execute(select(func.pg_advisory_unlock(MIGRATION_LOCK)))
            connection.commit()


def _holder(connection: Connection) -> str:
    statement = """
        SELECT format(
            'process %s (%s, %s)', pid, application_name, coalesce(host(client_addr), 'local')
        ) FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND granted AND database = (
            SELECT oid FROM pg_database WHERE datname = current_database()
        ) AND classid::bigint << 32 | objid::bigint = :lock
    """
    holder = connection.scalar(text(statement), {"lock": MIGRATION_LOCK}) or "another process"
    return f"{holder} is migrating this database"


def retry_on_lock_timeout(work: Callable[[], T], attempts: int = ATTEMPTS) -> T:
    """Call work; retry it after a pause when it did not get a lock in time.

    In the pause the statements that queue behind it go on. `attempts` counts the first call. Raises
    CommandError after the last one, by default some eight minutes later.
    """
    attempt = 1
    while True:
        try:
            return work()
        except DBAPIError as error:
            if sqlstate_of(error) not in RETRYABLE:
                raise
            reason = str(error.orig).splitlines()[0]
            if attempt == attempts:
                raise CommandError(f"{reason}: gave up after {attempts} attempts.") from error
        delay = random.uniform(0.5, 1) * min(LONGEST_DELAY, 2 ** (attempt - 1))
        logger.warning("%s; trying again in %.1f s (%d of %d)", reason, delay, attempt, attempts)
        time.sleep(delay)
        attempt += 1


def resume_steps(plan: Callable[..., Iterable[Any]]) -> Callable[..., Iterator[Any]]:
    """Make Alembic's plan resumable: a second run goes on with the step that failed."""
    steps: deque[Any] | None = None

    def remaining(heads: tuple[str, ...], context: Any) -> Iterator[Any]:
        nonlocal steps
        if steps is None:
            steps = deque(plan(heads, context))
        while steps:
            logger.info("Running %s", steps[0])
            yield steps[0]
            steps.popleft()  # committed

    return remaining
