"""A task can be cancelled at any time: its unit of work is rolled back and its connection freed."""

import asyncio

import pytest
from sqlalchemy import text

from {{ cookiecutter.project_slug }}.database import Database


async def test_a_cancelled_unit_gives_its_connection_back(database: Database) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), database.transaction() as session:
            await session.execute(text("CREATE TABLE cancelled (id int)"))
            await session.execute(text("SELECT pg_sleep(5)"))
    assert database.pool_status()["write"].checked_out == 0
    async with database.read_only() as session:
        assert await session.scalar(text("SELECT to_regclass('cancelled')")) is None
