"""What is slow is logged, however it reaches the server, and without people's data."""

{% if cookiecutter.engine == "async" %}
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
{% else %}
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
{% endif %}

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.database.slow_statements import SHOWN, log_if_slow
from {{ cookiecutter.project_slug }}.settings import Settings

SECRET = "hunter2"
SLEEP = text("SELECT pg_sleep(0.03), CAST(:secret AS text)")
TABLE = "CREATE TEMPORARY TABLE naps (name text)"
# Each row that is inserted takes its time; when the trigger is deferred, the COMMIT does.
TRIGGER = (
    "CREATE FUNCTION pg_temp.nap() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END'",
    "CREATE CONSTRAINT TRIGGER nap AFTER INSERT ON naps"
    " DEFERRABLE INITIALLY {} FOR EACH ROW EXECUTE FUNCTION pg_temp.nap()",
)


@pytest.fixture
async def impatient(database_url: str) -> AsyncIterator[Database]:
    """A Database for which 20 ms are slow."""
    settings = Settings(database_url=database_url, database_slow_query=0.02)
    async with Database(settings) as database:
        yield database


def slow(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    """Return the lines about slow statements with these words, which name no value."""
    assert SECRET not in caplog.text
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if line.startswith("slow statement, 0.") and words in line]


async def make_naps(session: AsyncSession, when: str) -> None:
    for statement in (TABLE, *TRIGGER):
        await session.execute(text(statement.format(when)))


async def test_a_statement(impatient: Database, caplog: pytest.LogCaptureFixture) -> None:
    async with impatient.read_only() as session:
        await session.execute(SLEEP, {"secret": SECRET})
    async with impatient.read_only_connection() as connection:
        await connection.exec_driver_sql("SELECT pg_sleep(0.03)")
    assert len(slow(caplog, "pg_sleep")) == 2


async def test_a_statement_that_fails(
    impatient: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(DBAPIError):
        async with impatient.transaction() as session:
            await session.execute(text("SET LOCAL statement_timeout = 30"))
            await session.execute(text("SELECT pg_sleep(9)"))
    assert len(slow(caplog, "pg_sleep(9)")) == 1


async def test_a_statement_for_many_rows(
    impatient: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with impatient.transaction() as session:
        await make_naps(session, "IMMEDIATE")
        rows = [{"name": SECRET}, {"name": SECRET}]
        await session.execute(text("INSERT INTO naps VALUES (:name)"), rows)
    assert len(slow(caplog, "INSERT INTO naps")) == 1


async def test_a_commit(impatient: Database, caplog: pytest.LogCaptureFixture) -> None:
    async with impatient.transaction() as session:
        await make_naps(session, "DEFERRED")
        await session.execute(text("INSERT INTO naps VALUES (:name)"), {"name": SECRET})
    assert len(slow(caplog, "COMMIT")) == 1


async def test_each_read_of_a_stream(
    impatient: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = text("SELECT n, CASE WHEN n = 4 THEN pg_sleep(0.03) END FROM generate_series(1, 4) n")
    async with impatient.read_only(snapshot=True) as session:
        options = {"yield_per": 2}
{% if cookiecutter.engine == "async" %}
        stream = await session.stream(rows, execution_options=options)
        numbers = [row.n async for row in stream]
{% else %}
        numbers = [row.n for row in session.execute(rows, execution_options=options)]
{% endif %}
    assert numbers == [1, 2, 3, 4]
    assert slow(caplog, "generate_series")


async def test_a_listener_of_the_owner_is_called_too(
    impatient: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    def listen(_cursor: Any, statement: str, *_arguments: Any) -> None:
        heard.append(statement)

    for engine in impatient.engines:
        event.listen(engine.sync_engine, "do_execute", listen)
    async with impatient.read_only() as session:
        await session.execute(SLEEP, {"secret": SECRET})
    assert "pg_sleep" in heard[-1]
    assert len(slow(caplog, "pg_sleep")) == 1


async def test_a_fast_one_is_not_logged(
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings(database_url=database_url, database_slow_query=60)
    async with Database(settings) as database, database.transaction() as session:
        await session.execute(SLEEP, {"secret": SECRET})
    assert slow(caplog, "") == []


def test_a_line_is_one_and_has_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    started = time.perf_counter() - 1
    log_if_slow("SELECT\n  " + "x, " * 100_000, started, 0.5)
    [line] = [record.getMessage() for record in caplog.records]
    assert "\n" not in line
    assert len(line) < SHOWN + 100
    assert line.endswith("… (300009 characters)")
{% endcall %}
