"""The Database: its engines, its session factories and its units of work."""

{% if cookiecutter.engine == "async" %}
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
{% else %}
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.orm import Session, sessionmaker
{% endif %}

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from ..settings import Settings
from . import asyncpg_driver as driver
from .engine import create_database_engine
from .health import PROBE_TIMEOUT, PoolStatus, ReadinessProbe, pool_status, read_revision
from .hidden_values import values_are_hidden
from .replica import TRUST, ReplicaGate
from .rows import Rows
from .transactions import IsolationLevel, is_retryable, retry_delays

T = TypeVar("T")

# Seconds for which a replica that could not be reached is left alone.
REPLICA_PAUSE = 5.0


def session_factory(
    bind: AsyncEngine | AsyncConnection,
    **options: Any,
) -> async_sessionmaker[AsyncSession]:
    """Return a factory of sessions whose objects stay readable after the commit.

    A session that is closed raises InvalidRequestError when it is used again.
    """
    return async_sessionmaker(bind, expire_on_commit=False, close_resets_only=False, **options)


def refuse_pending_changes(session: AsyncSession) -> None:
    """Raise InvalidRequestError, naming the changes, if the session holds some that are not stored.

    The message names classes and attributes, and no values.
    """
    changes = [f"new {type(entity).__name__}" for entity in session.new]
    changes += [f"deleted {type(entity).__name__}" for entity in session.deleted]
    for entity in session.dirty:
        attributes = [each.key for each in inspect(entity).attrs if each.history.has_changes()]
        changes += [f"{type(entity).__name__}.{name}" for name in sorted(attributes)]
    if changes:
        raise InvalidRequestError(
            f"read_only() stores nothing, and these changes are pending: {', '.join(changes)}. "
            "Make them in transaction(), or expunge the objects from the session.",
        )


class Database:
    """The database of one process. Create one at start-up, share it, call dispose() at shutdown.

        database = Database(Settings())
        async with database.transaction() as session:
            session.add(User(name="Ann", email="ann@example.com"))
        await database.dispose()

    Nothing connects before the first use. Writes, reads and the readiness probe have an engine
    each. After a fork, the child opens connections of its own.

    Every unit of work raises sqlalchemy.exc.TimeoutError when the pool has no free connection
    within DATABASE_POOL_TIMEOUT seconds, and DBAPIError for what the server or the driver reports.
    faults.fault_of() tells what an exception means.
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
            self._replica_engine = create_database_engine(
                replica_url,
                settings,
                read_only=True,
                ping_after_idle=TRUST,
            )
            self._replica_sessions = session_factory(self._replica_engine)
        self._replica_gate = ReplicaGate(REPLICA_PAUSE)
        self._readiness = ReadinessProbe(self._probe)
        self._owner = driver.ConnectionOwner(self.engines)

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation_level: IsolationLevel | None = None,
    ) -> AsyncIterator[AsyncSession]:
        """Open a session in one transaction.

        It is committed at the end of the block and rolled back on any exception. The COMMIT itself
        may raise after the last line of the block: code behind the block runs only if it succeeded.
        """
        self._claim_connections()
        options = {"isolation_level": isolation_level} if isolation_level else {}
        with values_are_hidden:
            async with self.sessions(execution_options=options) as session, session.begin():
                yield session

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
        configured and answers, and may see data that is some moments old.

        Raises InvalidRequestError at the end of the block if it added, changed or deleted objects.
        """
        self._claim_connections()
        options = {"isolation_level": "REPEATABLE READ"} if snapshot else {}
        with values_are_hidden:
            if stale_ok and self._replica_engine:
                async with self._replica_sessions(execution_options=options) as session:
                    if await self._replica_gate.connects(session):
                        yield session
                        refuse_pending_changes(session)
                        return
            async with self._read_sessions(execution_options=options) as session:
                yield session
                refuse_pending_changes(session)

    @asynccontextmanager
    async def read_only_connection(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for rows: like read_only(), at half of its cost."""
        self._claim_connections()
        with values_are_hidden:
            async with self._read_engine.connect() as connection:
                yield connection

    async def rows(
        self,
        statement: Rows,
        /,
        *,
        stale_ok: bool = False,
        **values: Any,
    ) -> list[dict[str, Any]]:
        """Return the rows of one statement: cheaper than read_only_connection().

        `values` are those of the statement's parameters. Each row is a dictionary by column name.
        """
        self._claim_connections()
        if stale_ok and self._replica_engine:
            async with self.read_only(stale_ok=True) as session:
                connection = await session.connection()
                return await connection.run_sync(statement.execute, values)
        engine = self._read_engine.sync_engine
        return await self._owner.greenlets.run(statement.read, engine, values)

    async def write(self, statement: Rows, /, **values: Any) -> list[dict[str, Any]]:
        """Execute one statement in a transaction of its own; return the rows of its RETURNING.

        They are committed: like transaction() with one execute(), and cheaper.
        """
        self._claim_connections()
        engine = self.engine.sync_engine
        return await self._owner.greenlets.run(statement.write, engine, values)

    async def run(
        self,
        work: Callable[[AsyncSession], Awaitable[T]],
        *,
        isolation_level: IsolationLevel | None = None,
        attempts: int = 10,
    ) -> T:
        """Call work(session) in a transaction; retry it after a serialization failure or deadlock.

        Each attempt has a transaction() and a session of its own. `attempts` counts the first call.
        A failed attempt leaves nothing in the database (SQLSTATE 40001, 40P01), so `work` must have
        no other side effects. Raises the error of the last attempt, and every other error at once.
        """
        delays = retry_delays(attempts)
        while True:
            try:
                async with self.transaction(isolation_level=isolation_level) as session:
                    return await work(session)
            except DBAPIError as error:
                if not is_retryable(error) or (delay := next(delays, None)) is None:
                    raise
            await asyncio.sleep(delay)

    @property
    def readiness(self) -> ReadinessProbe:
        """The probe of the process and event loop that use this Database."""
        self._claim_connections()
        return self._readiness

    @property
    def engines(self) -> list[AsyncEngine]:
        """All engines, for what instruments them: writes, reads, readiness, and the replica."""
        engines = [self.engine, self._read_engine, self._probe_engine]
        return [*engines, self._replica_engine] if self._replica_engine else engines

    async def ping(self) -> None:
        """Ask the server, on a connection of its own; raises SQLAlchemyError within seconds."""
        readiness = await self.readiness.check()
        if readiness.error is not None:
            raise readiness.error

    def pool_status(self) -> dict[str, PoolStatus]:
        """Return the state of the pools `write`, `read` and, where there is one, `replica`."""
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
        """Close all connections within seconds, even if the server does not answer.

        Those in use are closed when their unit of work ends.
        """
        self._claim_connections()
        await self._owner.dispose()

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
        """Return a Database on one open connection, for tests: each unit of work is a savepoint.

        Isolation levels, snapshots and replicas are ignored. The caller commits or rolls back the
        transaction of the connection.
        """
        from .testing import ConnectionDatabase  # a subclass, so its module imports this one

        return ConnectionDatabase(connection)

    async def _probe(self) -> str | None:
        self._claim_connections()
        async with self._probe_engine.connect() as connection:
            return await read_revision(connection)

    def _claim_connections(self) -> None:
        if self._owner.claim():
            self._readiness = ReadinessProbe(self._probe)
            self._replica_gate = ReplicaGate(REPLICA_PAUSE)
{% endcall %}
