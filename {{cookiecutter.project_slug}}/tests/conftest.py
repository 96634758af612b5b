"""Fixtures: databases whose work is rolled back, put back, or dropped after the test."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest
{% if cookiecutter.fastapi %}
from fastapi import FastAPI
from httpx2 import AsyncClient
{% endif %}
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

{% if cookiecutter.fastapi %}
from {{ cookiecutter.project_slug }}.api.app import create_app
from {{ cookiecutter.project_slug }}.application_settings import ApplicationSettings
{% endif %}
from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.settings import Settings

{% if cookiecutter.fastapi %}
from .api.clients import client_for
{% endif %}
from .databases import ConnectionDatabase, Server, created_database, migrated_server
from .snapshot import PUT_BACK, TAKE
from dev.postgres import ServerError

SERVER = pytest.StashKey[Server]()


def pytest_configure() -> None:
    # The tests know one variable, TEST_DATABASE_URL; a developer's settings must not reach them.
    for name in [name for name in os.environ if name.startswith("DATABASE_")]:
        del os.environ[name]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    # In the controller of pytest-xdist: its workers share one server and one migrated template.
    node.workerinput["server"] = tuple(server_of(node.config))


def server_of(config: pytest.Config) -> Server:
    """The server of this run, started when first asked for."""
    if SERVER not in config.stash:
        stack = ExitStack()
        config.add_cleanup(stack.close)
        try:
            config.stash[SERVER] = stack.enter_context(migrated_server())
        except ServerError as error:
            pytest.exit(str(error), returncode=1)
    return config.stash[SERVER]


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    worker = getattr(request.config, "workerinput", None)
    return Server(*worker["server"]) if worker else server_of(request.config)


@pytest.fixture(scope="session")
def database_url(server: Server) -> Iterator[str]:
    """The URL of this worker's copy of the template."""
    with created_database(server.url, server.template) as url:
        yield url


@pytest.fixture
def fresh_url(server: Server) -> Iterator[str]:
    """The URL of a copy of the template for one test."""
    with created_database(server.url, server.template) as url:
        yield url


@pytest.fixture
def empty_url(server: Server) -> Iterator[str]:
    """The URL of an empty database for one test."""
    with created_database(server.url, "template0") as url:
        yield url


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    """The worker's Database; a test that writes through it asks for `committed` instead."""
    settings = Settings(database_url=database_url, database_show_values=True)
    async with Database(settings) as database:
        yield database


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that is rolled back."""
    async with database.engine.connect() as connection:
        transaction = await connection.begin()
        yield connection
        await transaction.rollback()


@pytest.fixture
def rolled_back(connection: AsyncConnection, database: Database) -> Database:
    """A Database whose units of work are savepoints, all rolled back after the test."""
    return ConnectionDatabase(connection, database.settings)


@pytest.fixture
async def session(rolled_back: Database) -> AsyncIterator[AsyncSession]:
    """A session on the test's connection; what it flushes, `rolled_back` and `client` see."""
    async with rolled_back.sessions() as session:
        yield session


@pytest.fixture(scope="session")
async def snapshot(database: Database) -> None:
    """The rows of the worker's database, as the migrations left them."""
    async with database.engine.begin() as connection:
        for statement in TAKE:
            await connection.execute(text(statement))


@pytest.fixture
async def committed(database: Database, snapshot: None) -> AsyncIterator[Database]:
    """The worker's Database, to commit with; all rows of all tables are put back afterwards."""
    yield database
    async with database.engine.begin() as connection:
        await connection.execute(text(PUT_BACK))


@pytest.fixture
async def fresh_database(fresh_url: str) -> AsyncIterator[Database]:
    """A Database of the test's own, migrated: for changes of the schema."""
    async with Database(Settings(database_url=fresh_url)) as database:
        yield database


@pytest.fixture
async def empty_database(empty_url: str) -> AsyncIterator[Database]:
    """A Database of the test's own, without a schema: for migrations."""
    async with Database(Settings(database_url=empty_url)) as database:
        yield database


@pytest.fixture
def count_queries(database: Database) -> Callable[[], AbstractContextManager[list[str]]]:
    """`with count_queries() as queries:` lists what `session` and `rolled_back` execute."""

    @contextmanager
    def count() -> Iterator[list[str]]:
        queries: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK", "SET LOCAL")):
                queries.append(statement)

        event.listen(database.engine.sync_engine, "before_cursor_execute", note)
        try:
            yield queries
        finally:
            event.remove(database.engine.sync_engine, "before_cursor_execute", note)

    return count
{% if cookiecutter.fastapi %}


@pytest.fixture
def application_settings() -> ApplicationSettings:
    """The application's own settings: only those that are given here, and the defaults."""
    return ApplicationSettings.model_construct()


@pytest.fixture
def app(rolled_back: Database, application_settings: ApplicationSettings) -> FastAPI:
    """The application, whose units of work are savepoints of the test's transaction."""
    return create_app(rolled_back, application_settings)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client of `app`, which runs until the test ends."""
    async with client_for(app) as client:
        yield client
{% endif %}
{% endcall %}
