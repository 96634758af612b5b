"""The Database: its engines, its session factories, its units of work, and fetch()."""

{% if cookiecutter.engine == "async" %}
import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import Delete, Insert, Update, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
{% else %}
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import Delete, Engine, Insert, Update, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session
{% endif %}

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from ..settings import Settings
from . import asyncpg_driver as driver
from .faults import RETRYABLE, Fault, as_unknown, fault_of, sqlstate_of
from .route import Route, refuse_pending_changes
from .statements import Row, Statement, Values

T = TypeVar("T")
IsolationLevel = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", None]

logger = logging.getLogger(__name__)

# Seconds after which a question to the server, by ping() and /readyz, has failed.
PING_TIMEOUT = 1.0
# Seconds for which a replica that could not be reached is left alone, and for which its idle
# connections are taken to work.
REPLICA_PAUSE, TRUST = 5.0, 0.1
# Seconds before the second attempt of run(), at most; doubled for each further one, up to 1.
FIRST_DELAY = 0.02
# The transactions that are open around the running code, each with its task.
open_transactions: ContextVar[tuple[Any, ...]] = ContextVar("open_transactions", default=())


class Database:
    """The database of one process and one event loop: engines, units of work, and fetch().

    Create one at start-up, share it, and call dispose() at shutdown. Nothing connects before the
    first use. After a fork, the child opens connections of its own.

    Every unit of work raises sqlalchemy.exc.TimeoutError when the pool has no free connection
    within DATABASE_POOL_TIMEOUT seconds, and DBAPIError for what the server or the driver reports.
    fault_of() tells what an exception means.
    """

    def __init__(self, settings: Settings) -> None:
        timeouts = ("pool_timeout", "connect_timeout", "statement_timeout")
        changes: dict[str, Any] = {f"database_{name}": PING_TIMEOUT for name in timeouts}
        changes |= {"database_pool_size": 1, "database_max_overflow": 0}
        url, replica_url = settings.database_url, settings.database_replica_url
        self.settings = settings
        self._writes = Route(url, settings)
        self._reads = Route(url, settings, read_only=True)
        self._pings = Route(url, settings.model_copy(update=changes), read_only=True)
        self._replica: Route | None = None
        self._replica_works = False
        self._replica_next_try = 0.0
        if replica_url is not None:
            self._replica = Route(replica_url, settings, read_only=True, ping_after_idle=TRUST)
        self.engine = self._writes.engine
        self.sessions = self._writes.sessions

    @property
    def engines(self) -> list[AsyncEngine]:
        """All engines, for what instruments them: writes, reads, pings, and the replica."""
        routes = [self._writes, self._reads, self._pings, self._replica]
        return [route.engine for route in routes if route is not None]

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation_level: IsolationLevel = None,
    ) -> AsyncIterator[AsyncSession]:
        """Open a session in one transaction.

        It is committed at the end of the block and rolled back on any exception. The COMMIT itself
        may raise after the last line of the block: code behind the block runs only if it succeeded.
        Raises OutcomeUnknownError if the connection is lost during COMMIT.
        """
        options = {"isolation_level": isolation_level} if isolation_level else {}
        outer, is_committing = open_transactions.get(), False
        try:
            async with self._writes.turn(), self.sessions(execution_options=options) as session:
                open_transactions.set((*outer, (self, asyncio.current_task())))
                async with session.begin():
                    yield session
                    await session.flush()
                    is_committing = True
        except DBAPIError as error:
            raise (as_unknown(error) if is_committing else error) from error.__cause__
        except driver.ERRORS as error:  # of the driver's own calls, such as COPY
            if not self.settings.database_show_values:
                driver.without_values(error)
            raise
        finally:
            open_transactions.set(outer)

    @asynccontextmanager
    async def read_only(
        self,
        *,
        snapshot: bool = False,
        stale_ok: bool = False,
    ) -> AsyncIterator[AsyncSession]:
        """Open a session for reads: PostgreSQL rejects a write with SQLSTATE 25006.

        Each statement sees the data committed before it starts. With `snapshot`, all statements see
        the same data (REPEATABLE READ). With `stale_ok`, they run on the replica if one is
        configured and can be reached, and may see data that is some moments old.

        Raises InvalidRequestError at the end of the block if it added, changed or deleted objects.
        """
        options = {"isolation_level": "REPEATABLE READ"} if snapshot else {}
        route = await self._route_for_reads(stale_ok=stale_ok)
        async with route.turn(), route.sessions(execution_options=options) as session:
            yield session
            refuse_pending_changes(session)

    async def fetch(
        self, statement: Statement, values: Values | None = None, /, *, stale_ok: bool = False
    ) -> list[Row]:
        """Return the rows of one plain statement as dictionaries, at the driver's speed.

        `values` are those of its parameters. A select() is read as in read_only(). An insert(),
        update() or delete() is committed when this returns; without RETURNING it gives []. Raises
        OutcomeUnknownError if the connection is lost during a write, and InvalidRequestError for a
        write in transaction(), which could not roll it back.
        """
        values = {} if values is None else values
        if not isinstance(statement, Statement) or not isinstance(values, Mapping):
            raise TypeError(
                "fetch() takes a select(), insert(), update() or delete(), and the values of its "
                "parameters as one dictionary. Use session.execute() for anything else",
            )
        if isinstance(statement, Insert | Update | Delete):
            if (self, asyncio.current_task()) in open_transactions.get():
                raise InvalidRequestError(
                    "fetch() would commit this write, even if transaction() is rolled back: "
                    "use session.execute()",
                )
            return await self._writes.fetch(statement, values)
        route = await self._route_for_reads(stale_ok=stale_ok)
        try:
            return await route.fetch(statement, values)
        except DBAPIError as error:
            if route is self._reads or fault_of(error) is not Fault.UNAVAILABLE:
                raise
            return await self._reads.fetch(statement, values)

    async def run(
        self,
        work: Callable[[AsyncSession], Awaitable[T]],
        *,
        isolation_level: IsolationLevel = None,
        attempts: int = 10,
    ) -> T:
        """Call work(session) in a transaction; retry it after a serialization failure or deadlock.

        Each attempt has a transaction() and a session of its own. `attempts` counts the first call.
        A failed attempt leaves nothing in the database (SQLSTATE 40001, 40P01), so `work` must have
        no other side effects. Raises the error of the last attempt, and every other error at once.
        """
        attempt = 1
        while True:
            try:
                async with self.transaction(isolation_level=isolation_level) as session:
                    return await work(session)
            except DBAPIError as error:
                if sqlstate_of(error) not in RETRYABLE or attempt >= attempts:
                    raise
            # https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
            await asyncio.sleep(random.uniform(0, min(1, FIRST_DELAY * 2 ** (attempt - 1))))
            attempt += 1

    async def ping(self) -> str | None:
        """Return the schema's revision, on a connection of its own; raises within seconds."""
        readable = text("SELECT has_table_privilege(to_regclass('alembic_version')::oid, 'SELECT')")
        async with self._pings.turn(), self._pings.engine.connect() as connection:
            if not await connection.scalar(readable):
                return None
            revisions = await connection.scalars(text("SELECT version_num FROM alembic_version"))
            return ", ".join(sorted(revisions)) or None

    async def dispose(self) -> None:
        """Close all idle connections within seconds, even if the server is silent."""
        for engine in self.engines:
            await engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.dispose()

    async def _route_for_reads(self, *, stale_ok: bool) -> Route:
        """Return the way to the replica if it is wanted and can be reached."""
        replica = self._replica
        if not stale_ok or replica is None:
            return self._reads
        if not self._replica_works:
            if time.monotonic() < self._replica_next_try:
                return self._reads
            # One tries; the others do not wait for it.
            self._replica_next_try = time.monotonic() + REPLICA_PAUSE
        try:
            async with replica.turn(), replica.engine.connect():
                self._replica_works = True
                return replica
        except (DBAPIError, PoolTimeoutError) as error:
            if fault_of(error) is not Fault.UNAVAILABLE:
                raise
            self._replica_works = False
            self._replica_next_try = time.monotonic() + REPLICA_PAUSE
            logger.warning("the replica is unavailable, reading from the primary: %s", error)
            return self._reads
{% endcall %}
