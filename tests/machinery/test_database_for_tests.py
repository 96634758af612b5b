"""The Database of the tests: its units of work are savepoints, and nothing of them stays."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import pytest
from sqlalchemy import Integer, bindparam, column, insert, select, table, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession

from {{ cookiecutter.project_slug }}.database import Database, Fault, fault_of
from {{ cookiecutter.project_slug }}.database.faults import sqlstate_of

NOTES = table("test_notes", column("id", Integer))
ALL = select(NOTES.c.id).order_by(NOTES.c.id)
WRITE = insert(NOTES).values(id=bindparam("id", type_=Integer))
CREATE = text("CREATE TABLE test_notes (id int UNIQUE)")


async def test_what_a_test_commits_is_rolled_back(
    rolled_back: Database,
    database: Database,
) -> None:
    async with rolled_back.transaction() as session:
        await session.execute(CREATE)
    found = text("SELECT to_regclass('test_notes')")
    async with rolled_back.read_only() as session:
        assert await session.scalar(found) is not None
    async with database.read_only() as session:
        assert await session.scalar(found) is None


async def test_it_is_complete(rolled_back: Database, database: Database) -> None:
    assert rolled_back.settings is database.settings
    assert rolled_back.engines == [database.engine]
    assert await rolled_back.ping() == await database.ping()
    await rolled_back.dispose()
    async with rolled_back.transaction(isolation_level="SERIALIZABLE") as session:
        await session.execute(CREATE)
    async with rolled_back.read_only(snapshot=True, stale_ok=True) as session:
        assert await session.scalar(ALL) is None


async def test_a_unit_that_fails_is_undone_alone(rolled_back: Database) -> None:
    async with rolled_back.transaction() as session:
        await session.execute(CREATE)
        await session.execute(WRITE, {"id": 1})
    with pytest.raises(KeyError):
        async with rolled_back.transaction() as session:
            await session.execute(WRITE, {"id": 2})
            raise KeyError
    async with rolled_back.transaction() as session:
        await session.execute(WRITE, {"id": 3})
    assert await rolled_back.fetch(ALL) == [{"id": 1}, {"id": 3}]


async def test_a_write_while_reading_is_refused_and_costs_nothing(rolled_back: Database) -> None:
    async with rolled_back.transaction() as session:
        await session.execute(CREATE)
        await session.execute(WRITE, {"id": 1})
    for _ in range(2):
        with pytest.raises(DBAPIError) as refusal:
            async with rolled_back.read_only() as session:
                await session.execute(WRITE, {"id": 2})
        assert sqlstate_of(refusal.value) == "25006"
        assert fault_of(refusal.value) is None
        hidden = insert(NOTES).values(id=2).returning(NOTES.c.id).cte()
        with pytest.raises(DBAPIError) as refusal:
            await rolled_back.fetch(select(hidden.c.id))
        assert sqlstate_of(refusal.value) == "25006"
        assert await rolled_back.fetch(ALL) == [{"id": 1}]


async def test_fetch_is_as_that_of_the_service(
    rolled_back: Database,
    session: AsyncSession,
) -> None:
    await session.execute(CREATE)
    returning = WRITE.returning(NOTES.c.id)
    for number in (1, 3, 5):
        assert await rolled_back.fetch(WRITE, {"id": number}) == []
        assert await rolled_back.fetch(returning, {"id": number + 1}) == [{"id": number + 1}]
    with pytest.raises(DBAPIError) as failure:
        await rolled_back.fetch(WRITE, {"id": 1})
    assert fault_of(failure.value) is Fault.CONFLICT
    async with rolled_back.transaction():
        with pytest.raises(InvalidRequestError, match=r"session\.execute"):
            await rolled_back.fetch(WRITE, {"id": 7})
    numbers = await session.scalars(ALL)
    assert numbers.all() == [1, 2, 3, 4, 5, 6]
{% endcall %}
