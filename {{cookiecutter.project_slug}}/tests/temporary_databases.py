"""Databases for tests: created beside the one that the server's URL names, which is left alone."""

{% if cookiecutter.engine == "async" %}
import asyncio
{% endif %}
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from unittest.mock import patch
from uuid import uuid4

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, text

from {{ cookiecutter.project_slug }}.database.engine import create_database_engine
from {{ cookiecutter.project_slug }}.settings import Settings, parse_database_url

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
        migrate(template_url, "head")
        yield Server(url, str(parse_database_url(template_url).database))


@contextmanager
def created_database(server_url: str, template: str) -> Iterator[str]:
    """The URL of a new copy of the template; dropped afterwards."""
    url = parse_database_url(server_url)
    name = f"test_{uuid4().hex}"
    execute(url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        execute(url, f"DROP DATABASE {name} WITH (FORCE)")


def migrate(url: str, revision: str) -> None:
    """Upgrades as a deploy does: by the alembic.ini of the project, and DATABASE_URL."""
    with patch.dict(os.environ, {"DATABASE_URL": url}):
        command.upgrade(Config(ALEMBIC_INI), revision)


def execute(url: URL, statement: str) -> list[Any]:
    """The rows of a statement outside of a transaction, as CREATE DATABASE demands."""

    def work(connection: Connection) -> list[Any]:
        result = connection.execute(text(statement))
        return list(result) if result.returns_rows else []

    return run_on(url, work, isolation_level="AUTOCOMMIT")


{% if cookiecutter.engine == "async" %}
def run_on(url: str | URL, work: Callable[[Connection], T], **options: Any) -> T:
    """The result of work on a connection, of those execution options, which is then closed."""

    async def main() -> T:
        engine = create_database_engine(parse_database_url(url), Settings(database_url=url))
        async with engine.connect() as connection:
            await connection.execution_options(**options)
            result: T = await connection.run_sync(work)
        await engine.dispose()
        return result

    return asyncio.run(main())
{% else %}
def run_on(url: str | URL, work: Callable[[Connection], T], **options: Any) -> T:
    """The result of work on a connection, of those execution options, which is then closed."""
    engine = create_database_engine(parse_database_url(url), Settings(database_url=url))
    with engine.connect() as connection:
        connection.execution_options(**options)
        result = work(connection)
    engine.dispose()
    return result
{% endif %}
