"""Databases for tests: new ones beside the one that the server's URL names, and one to roll back.

The database that the URL names is left alone.
"""

{% if cookiecutter.engine == "async" %}
import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
{% else %}
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
{% endif %}
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from unittest.mock import patch
from uuid import uuid4

from alembic import command
from alembic.config import Config
{% if cookiecutter.engine == "async" %}
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
{% else %}
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm import Session, sessionmaker
{% endif %}

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.database.database import IsolationLevel
from {{ cookiecutter.project_slug }}.database.engine import create_database_engine
from {{ cookiecutter.project_slug }}.database.route import Route
from {{ cookiecutter.project_slug }}.database.statements import Plans, Row
from {{ cookiecutter.project_slug }}.settings import Settings

from dev.postgres import temporary_server

T = TypeVar("T")

ALEMBIC_INI = Path(__file__).parents[1] / "alembic.ini"


class Server(NamedTuple):
    """A server, and the name of the migrated database there that others are copies of."""

    url: str
    template: str


@contextmanager
def migrated_server() -> Iterator[Server]:
    """A server with a template migrated to the head."""
    with temporary_server() as url, created_database(url, "template0") as template_url:
        with patch.dict(os.environ, {"DATABASE_URL": template_url}):  # as a deploy does
            command.upgrade(Config(ALEMBIC_INI), "head")
        yield Server(url, execute(template_url, "SELECT current_database()")[0][0])


@contextmanager
def created_database(server_url: str, template: str) -> Iterator[str]:
    """The URL of a new copy of the template; dropped afterwards."""
    name = f"test_{uuid4().hex}"
    start, mark, query = server_url.partition("?")
    scheme, _, rest = start.partition("://")
    execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield f"{scheme}://{rest.partition('/')[0]}/{name}{mark}{query}"
    finally:
        execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: str, statement: str) -> list[Any]:
    """The rows of a statement outside of a transaction, as CREATE DATABASE demands."""

    def work(connection: Connection) -> list[Any]:
        result = connection.execute(text(statement))
        return list(result) if result.returns_rows else []

    return run_on(url, work, isolation_level="AUTOCOMMIT")


{% if cookiecutter.engine == "async" %}
def run_on(url: str, work: Callable[[Connection], T], **options: Any) -> T:
    """The result of work on a connection, of those execution options, which is then closed."""

    async def main() -> T:
        settings = Settings(database_url=url, database_slow_query=60)  # CREATE DATABASE takes time
        engine = create_database_engine(settings.database_url, settings)
        async with engine.connect() as connection:
            await connection.execution_options(**options)
            result: T = await connection.run_sync(work)
        await engine.dispose()
        return result

    return asyncio.run(main())
{% else %}
def run_on(url: str, work: Callable[[Connection], T], **options: Any) -> T:
    """The result of work on a connection, of those execution options, which is then closed."""
    settings = Settings(database_url=url, database_slow_query=60)  # CREATE DATABASE takes time
    engine = create_database_engine(settings.database_url, settings)
    with engine.connect() as connection:
        connection.execution_options(**options)
        result = work(connection)
    engine.dispose()
    return result
{% endif %}


class ConnectionDatabase(Database):
    """A Database whose units of work are savepoints of one connection's transaction."""

    def __init__(self, connection: AsyncConnection, settings: Settings) -> None:
        self.settings = settings
        self._writes = self._pings = ConnectionRoute(connection, settings)
        self._reads = ConnectionRoute(connection, settings, read_only=True)
        self._replica = None
        self.engine, self.sessions = self._writes.engine, self._writes.sessions

    @property
    def engines(self) -> list[AsyncEngine]:
        return [self.engine]

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation_level: IsolationLevel | None = None,  # that of the test's transaction stays
    ) -> AsyncIterator[AsyncSession]:
        async with super().transaction() as session:
            yield session

    @asynccontextmanager
    async def read_only(
        self,
        *,
        snapshot: bool = False,
        stale_ok: bool = False,
    ) -> AsyncIterator[AsyncSession]:
        async with super().read_only() as session:
            yield session

    async def dispose(self) -> None:
        """Leave the connection to the caller."""


class ConnectionRoute(Route):
    """The way to the server for all who share one connection."""

    def __init__(
        self,
        connection: AsyncConnection,
        settings: Settings,
        *,
        read_only: bool = False,
    ) -> None:
        self.read_only, self.engine, self._connection = read_only, connection.engine, connection
        self._plans = Plans(self.engine.sync_engine)
        self.sessions = async_sessionmaker(
            connection,
            expire_on_commit=False,
            close_resets_only=False,
            join_transaction_mode="create_savepoint",
        )
        if not event.contains(self.engine.sync_engine, "handle_error", keep_connection):
            event.listen(self.engine.sync_engine, "handle_error", keep_connection)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        if not self.read_only:
            yield
            return
        # Only ROLLBACK TO SAVEPOINT makes the transaction writable again; there is nothing to keep.
        async with self._connection.begin_nested() as savepoint:
            await self._connection.execute(text("SET LOCAL transaction_read_only = on"))
            yield
            await savepoint.rollback()

    async def fetch(self, statement: Any, values: Mapping[str, Any]) -> list[Row]:
        async with self.turn(), self._connection.begin_nested():
            result = await self._connection.execute(statement, values)
            return self._plans.read(statement, values, result)


def keep_connection(context: ExceptionContext) -> None:
    """Keep the test's connection, which other writers lose when their server is read-only (25006).

    In a test, it is only a read that tried to write.
    """
    is_refused_write = getattr(context.original_exception, "sqlstate", None) == "25006"
    if is_refused_write and context.connection and context.connection.in_nested_transaction():
        context.is_disconnect = False
{% endcall %}
