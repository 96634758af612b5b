"""How migrations run on a live database: one process at a time, and never in anybody's way."""

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
from ..database.transactions import lock_key

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The server's lock_timeout and statement_timeout, in seconds."""

    lock: float
    statement: float

    def sql(self) -> list[str]:
        """The statements that set them for the session."""
        return [
            f"SET lock_timeout = '{self.lock:g}s'",
            f"SET statement_timeout = '{self.statement:g}s'",
        ]


# While a migration waits for a table, everybody else queues behind it. Longer than the server's
# deadlock_timeout (1 s), after which an autovacuum that is in the way gives up.
BRIEF = Timeouts(lock=2, statement=30)
# For statements that keep nobody from reading and writing, such as CREATE INDEX CONCURRENTLY.
PATIENT = Timeouts(lock=600, statement=3600)

LOCK = lock_key("migrations")
# Seconds to wait for another process that migrates the database.
LONGEST_WAIT = 3600.0
POLL = 0.25
REPORT = 15.0

# Lock not available, and deadlock: the transaction has released what it held.
GIVE_WAY = {"55P03", "40P01"}
ATTEMPTS = 30
LONGEST_PAUSE = 20.0


@contextmanager
def turn(connection: Connection) -> Iterator[None]:
    """The connection's turn to migrate, with brief timeouts; other processes wait for its end.

    Polls a session's advisory lock, between transactions: CREATE INDEX CONCURRENTLY, by the one
    whose turn it is, would wait for a statement that waits for the lock, and so for itself. Raises
    CommandError after an hour.
    """
    started = time.monotonic()
    report_at = started
    while not connection.scalar(select(func.pg_try_advisory_lock(LOCK))):
        if time.monotonic() > started + LONGEST_WAIT:
            raise CommandError(f"{_holder(connection)} for an hour: see whether it still works")
        if time.monotonic() > report_at:
            report_at += REPORT
            logger.info("%s: waiting for it to end", _holder(connection))
        connection.commit()
        time.sleep(POLL)
    try:
        for statement in BRIEF.sql():
            connection.execute(text(statement))
        # A statement whose client was killed ends soon, and with it the lock.
        connection.execute(text("SET client_connection_check_interval = '1s'"))
        connection.commit()
        yield
    finally:
        connection.rollback()
        if not connection.invalidated:
            for name in ("lock_timeout", "statement_timeout", "client_connection_check_interval"):
                connection.execute(text(f"RESET {name}"))
            connection.execute(select(func.pg_advisory_unlock(LOCK)))
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
    holder = connection.scalar(text(statement), {"lock": LOCK}) or "another process"
    return f"{holder} migrates this database"


def give_way(work: Callable[[], T], attempts: int = ATTEMPTS) -> T:
    """Does work, again after a pause when it did not get a lock in time.

    In the pause those who queue behind it go on. After the last attempt, by default some eight
    minutes later, raises CommandError.
    """
    attempt = 1
    while True:
        try:
            return work()
        except DBAPIError as error:
            if sqlstate_of(error) not in GIVE_WAY:
                raise
            reason = str(error.orig).splitlines()[0]
            if attempt == attempts:
                raise CommandError(f"{reason}; gave up after {attempts} attempts") from error
        pause = random.uniform(0.5, 1) * min(LONGEST_PAUSE, 2 ** (attempt - 1))
        logger.warning("%s; trying again in %.1f s (%d of %d)", reason, pause, attempt, attempts)
        time.sleep(pause)
        attempt += 1


def remaining_steps(plan: Callable[..., Iterable[Any]]) -> Callable[..., Iterator[Any]]:
    """The steps of Alembic's plan, made once; run again, it goes on with the one that failed."""
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
