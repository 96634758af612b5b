"""What is slow is logged, however it reaches the server, and without people's data."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Double, bindparam, func, select, text
from sqlalchemy.exc import DBAPIError

from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.database.statements import log_if_slow
from {{ cookiecutter.project_slug }}.settings import Settings

SECRET = "hunter2"
SLEEP = text("SELECT pg_sleep(0.03), CAST(:secret AS text)")


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


async def test_a_statement(impatient: Database, caplog: pytest.LogCaptureFixture) -> None:
    async with impatient.read_only() as session:
        await session.execute(SLEEP, {"secret": SECRET})
    async with impatient.engine.connect() as connection:
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
        await session.execute(text("CREATE TEMPORARY TABLE naps (name text)"))
        rows = [{"secret": SECRET}, {"secret": SECRET}]
        nap = text("INSERT INTO naps SELECT CAST(:secret AS text) FROM pg_sleep(0.03)")
        await session.execute(nap, rows)
    assert slow(caplog, "INSERT INTO naps")


async def test_fetch_of_each_kind(
    impatient: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sleep = select(func.pg_sleep(bindparam("seconds", type_=Double)).label("fetched"))
    for _ in range(4):
        await impatient.fetch(sleep, {"seconds": 0.03})
    assert len(slow(caplog, "AS fetched")) == 4


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
    assert len(line) < 1_100
{% endcall %}
