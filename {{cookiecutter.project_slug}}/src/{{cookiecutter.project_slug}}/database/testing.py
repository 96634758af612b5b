"""A Database on one connection, for tests that roll back."""

{% if cookiecutter.engine == "async" %}
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
{% else %}
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session
{% endif %}

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from ..settings import Settings
from .database import Database, refuse_pending_changes, session_factory
from .health import PoolStatus, ReadinessProbe, read_revision
from .rows import Rows
from .transactions import IsolationLevel


class ConnectionDatabase(Database):
    """A Database whose units of work are savepoints on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.settings = Settings(database_url=connection.engine.url)
        self.engine = connection.engine
        self.sessions = session_factory(connection, join_transaction_mode="create_savepoint")
        self._readiness = ReadinessProbe(lambda: read_revision(connection))
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
        async with self.read_only_connection(), self.sessions() as session:
            yield session
            refuse_pending_changes(session)

    @asynccontextmanager
    async def read_only_connection(self) -> AsyncIterator[AsyncConnection]:
        # Only ROLLBACK TO SAVEPOINT makes the transaction writable again; there is nothing to keep.
        async with self._connection.begin_nested() as savepoint:
            await self._connection.execute(text("SET LOCAL transaction_read_only = on"))
            self._connection.info["is_read_only"] = True
            try:
                yield self._connection
            finally:
                self._connection.info["is_read_only"] = False
            await savepoint.rollback()

    async def rows(
        self,
        statement: Rows,
        /,
        *,
        stale_ok: bool = False,
        **values: Any,
    ) -> list[dict[str, Any]]:
        async with self.read_only_connection() as connection:
            return await connection.run_sync(statement.execute, values)

    async def write(self, statement: Rows, /, **values: Any) -> list[dict[str, Any]]:
        async with self._connection.begin_nested():
            return await self._connection.run_sync(statement.execute, values)

    @property
    def readiness(self) -> ReadinessProbe:
        return self._readiness

    @property
    def engines(self) -> list[AsyncEngine]:
        return [self.engine]

    def pool_status(self) -> dict[str, PoolStatus]:
        return {}

    async def dispose(self) -> None:
        """Leave the connection to the caller."""
{% endcall %}
