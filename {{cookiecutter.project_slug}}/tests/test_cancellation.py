"""A task can be cancelled at any time: its unit of work is rolled back and its connection freed."""

import asyncio

import pytest
from sqlalchemy import Double, bindparam, func, select, text

from {{ cookiecutter.project_slug }}.database import Database, Rows


async def test_a_cancelled_unit_gives_its_connection_back(database: Database) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), database.transaction() as session:
            await session.execute(text("CREATE TABLE test_cancelled (id int)"))
            await session.execute(text("SELECT pg_sleep(5)"))
    assert database.pool_status()["write"].checked_out == 0
    async with database.read_only() as session:
        assert await session.scalar(text("SELECT to_regclass('test_cancelled')")) is None


async def test_cancelled_rows_give_their_connection_back(database: Database) -> None:
    rows = Rows(select(func.pg_sleep(bindparam("seconds", type_=Double)).label("slept")))
    for _ in range(2):
        await database.rows(rows, seconds=0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await database.rows(rows, seconds=5)
        assert database.pool_status()["read"].checked_out == 0
