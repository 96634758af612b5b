"""Where sessions come from: the Database, with its engines, session factories and units of work."""

{% if cookiecutter.engine == "async" %}
import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
{% else %}
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker
{% endif %}

from ..settings import Settings
from .engine import create_database_engine
from .faults import Fault, fault_of
from .health import (
    PROBE_TIMEOUT,
    PoolStatus,
    ReadinessProbe,
    pool_status,
    read_revision,
)
from .transactions import IsolationLevel, is_retryable, waits

logger = logging.getLogger(__name__)

T = TypeVar("T")
{% if cookiecutter.engine == "async" %}
Work = Callable[[AsyncSession], Awaitable[T]]
{% else %}
Work = Callable[[Session], T]
{% endif %}

# Seconds for which a replica that could not be reached is left alone.
REPLICA_PAUSE = 5.0


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
def session_factory(
    bind: AsyncEngine | AsyncConnection,
    **options: Any,
) -> async_sessionmaker[AsyncSession]:
    """Sessions whose objects stay readable after a commit, and which end with close()."""
    return async_sessionmaker(bind, expire_on_commit=False, close_resets_only=False, **options)


class Database:
    """The database of one process: make one, keep it, dispose() of it at the end.

    Nothing connects before the first use. Writes, reads and the readiness probe have an engine
    each. After a fork the child opens connections of its own.
    """

    def __init__(self, settings: Settings) -> None:
        probe_settings = settings.model_copy(
            update={
                "database_pool_size": 1,
                "database_max_overflow": 0,
                "database_pool_timeout": PROBE_TIMEOUT,
                "database_connect_timeout": PROBE_TIMEOUT,
                "database_statement_timeout": PROBE_TIMEOUT,
            },
        )
        url, replica_url = settings.database_url, settings.database_replica_url
        self.settings = settings
        self.engine = create_database_engine(url, settings)
        self.sessions = session_factory(self.engine)
        self._read_engine = create_database_engine(url, settings, read_only=True)
        self._read_sessions = session_factory(self._read_engine)
        self._probe_engine = create_database_engine(url, probe_settings, read_only=True)
        self._replica_engine: AsyncEngine | None = None
        if replica_url is not None:
            self._replica_engine = create_database_engine(replica_url, settings, read_only=True)
            self._replica_sessions = session_factory(self._replica_engine)
        self._replica_next_try = 0.0
        self.readiness = ReadinessProbe(self._probe)
        self._pid = os.getpid()
{% if cookiecutter.engine == "async" %}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._parents_pools: list[Pool] = []
{% endif %}

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation_level: IsolationLevel | None = None,
    ) -> AsyncIterator[AsyncSession]:
        """One transaction: committed at the end of the block, rolled back on any exception."""
        self._own_connections()
        options = {"isolation_level": isolation_level} if isolation_level else {}
        async with self.sessions(execution_options=options) as session, session.begin():
            yield session

    @asynccontextmanager
    async def read_only(
        self,
        *,
        snapshot: bool = False,
        stale_ok: bool = False,
    ) -> AsyncIterator[AsyncSession]:
        """A session whose writes the server refuses; each statement sees what is committed by then.

        With `snapshot` all statements see the same state (REPEATABLE READ). With `stale_ok` they
        run on the replica, if one is configured and reachable, and may see a state of some
        moments ago.
        """
        self._own_connections()
        options = {"isolation_level": "REPEATABLE READ"} if snapshot else {}
        if stale_ok and self._replica_engine and time.monotonic() >= self._replica_next_try:
            async with self._replica_sessions(execution_options=options) as session:
                if await self._reaches_replica(session):
                    yield session
                    return
        async with self._read_sessions(execution_options=options) as session:
            yield session

    @asynccontextmanager
    async def read_rows(self) -> AsyncIterator[AsyncConnection]:
        """What read_only() is, for rows instead of objects: a connection, at less than its cost."""
        self._own_connections()
        async with self._read_engine.connect() as connection:
            yield connection

    async def run(
        self,
        work: Work[T],
        *,
        isolation_level: IsolationLevel | None = None,
        attempts: int = 10,
    ) -> T:
        """Does work(session) in transaction(), again in a new one when the server asks for it.

        Repeated are serialization failures and deadlocks (SQLSTATE 40001, 40P01), which leave
        nothing behind; so `work` must have no other side effects. The last attempt's error is
        raised.
        """
        pauses = waits(attempts)
        while True:
            try:
                async with self.transaction(isolation_level=isolation_level) as session:
                    return await work(session)
            except DBAPIError as error:
                if not is_retryable(error) or (pause := next(pauses, None)) is None:
                    raise
            await asyncio.sleep(pause)

    @property
    def engines(self) -> list[AsyncEngine]:
        """All engines, for what instruments them: for writes, reads, the probe and the replica."""
        engines = [self.engine, self._read_engine, self._probe_engine]
        return [*engines, self._replica_engine] if self._replica_engine else engines

    async def ping(self) -> None:
        """Asks the server, on a connection of its own; raises SQLAlchemyError within seconds."""
        readiness = await self.readiness.check()
        if readiness.error is not None:
            raise readiness.error

    def pool_status(self) -> dict[str, PoolStatus]:
        """The pools for writes and reads, and for the replica where there is one."""
        engines = {
            "write": self.engine,
            "read": self._read_engine,
            "replica": self._replica_engine,
        }
        return {
            name: pool_status(engine.pool, self.settings.database_max_overflow)
            for name, engine in engines.items()
            if engine is not None
        }

    async def dispose(self) -> None:
        """Closes all connections; those in use are closed when they come back."""
        self._own_connections()
        for engine in self.engines:
            await engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.dispose()

    @classmethod
    def on_connection(cls, connection: AsyncConnection) -> "Database":
        """A Database on one open connection, on which each unit of work is a savepoint: for tests.

        Isolation levels, snapshots and replicas cannot be had there; whoever opened the
        connection's transaction ends it.
        """
        return ConnectionDatabase(connection)

    async def _reaches_replica(self, session: AsyncSession) -> bool:
        try:
            await session.connection()
        except DBAPIError as error:
            if fault_of(error) is not Fault.UNAVAILABLE:
                raise
            logger.warning("the replica is unavailable, reading from the primary: %s", error)
            self._replica_next_try = time.monotonic() + REPLICA_PAUSE
            return False
        return True

    async def _probe(self) -> str | None:
        self._own_connections()
        async with self._probe_engine.connect() as connection:
            return await read_revision(connection)

    def _own_connections(self) -> None:
{% if cookiecutter.engine == "async" %}
        """Leaves behind connections that another process, or a finished event loop, has opened."""
        pid, loop = os.getpid(), asyncio.get_running_loop()
        if self._loop is loop and self._pid == pid:
            return
        if self._loop is not None:
            if self._pid != pid:
                # Kept, since to collect them would make the parent's loop deaf to its connections.
                self._parents_pools += [engine.pool for engine in self.engines]
            elif not self._loop.is_closed():
                raise RuntimeError("another event loop uses this Database: make one for each loop")
            for engine in self.engines:
                engine.sync_engine.dispose(close=False)
            self.readiness = ReadinessProbe(self._probe)
        self._pid, self._loop = pid, loop
{% else %}
        """Leaves behind connections that another process has opened."""
        if self._pid == os.getpid():
            return
        for engine in self.engines:
            engine.dispose(close=False)
        self.readiness = ReadinessProbe(self._probe)
        self._pid = os.getpid()
{% endif %}


class ConnectionDatabase(Database):
    """See Database.on_connection()."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.engine = connection.engine
        self.sessions = session_factory(connection, join_transaction_mode="create_savepoint")
        self.readiness = ReadinessProbe(lambda: read_revision(connection))
        self._connection = connection

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation_level: IsolationLevel | None = None,
    ) -> AsyncIterator[AsyncSession]:
        async with self.sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def read_only(
        self,
        *,
        snapshot: bool = False,
        stale_ok: bool = False,
    ) -> AsyncIterator[AsyncSession]:
        async with self.read_rows(), self.sessions() as session:
            yield session

    @asynccontextmanager
    async def read_rows(self) -> AsyncIterator[AsyncConnection]:
        # Only ROLLBACK TO SAVEPOINT makes the transaction writable again; there is nothing to keep.
        async with self._connection.begin_nested() as savepoint:
            await self._connection.execute(text("SET LOCAL transaction_read_only = on"))
            yield self._connection
            await savepoint.rollback()

    def pool_status(self) -> dict[str, PoolStatus]:
        return {}

    async def dispose(self) -> None:
        """Leaves the connection to its owner."""
{% endcall %}
