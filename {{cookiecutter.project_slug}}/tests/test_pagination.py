"""The pages of a list are the list, in every order, and a cursor is good for its list alone."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    bindparam,
    func,
    insert,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateTable

from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.queries.pagination import (
    InvalidCursorError,
    KeysetPages,
)

# Temporary tables: the project may have tables of the same names.
METADATA = MetaData()
PLAYERS = Table(
    "players",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("name", String, nullable=False),
    Column("team", String),
    Column("score", Integer),
    Column("joined_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    prefixes=["TEMPORARY"],
)
TEAMS = Table(
    "teams",
    METADATA,
    Column("team", String, primary_key=True),
    Column("city", String),
    prefixes=["TEMPORARY"],
)
PLAYER = PLAYERS.c
LOWER_NAME = func.lower(PLAYER.name)
ORDERS = {
    "key": [PLAYER.id],
    "descending": [PLAYER.joined_at.desc(), PLAYER.id.desc()],
    "both directions": [PLAYER.name.desc(), PLAYER.id],
    "nulls last": [PLAYER.score, PLAYER.id],
    "nulls first": [PLAYER.score.desc(), PLAYER.id.desc()],
    "nulls moved to the end": [PLAYER.score.desc().nulls_last(), PLAYER.id],
    "nulls moved to the start": [PLAYER.name, PLAYER.score.nulls_first(), PLAYER.id],
    "two columns with nulls": [PLAYER.team, PLAYER.score.desc(), PLAYER.id],
    "expression": [LOWER_NAME, PLAYER.id],
}


@pytest.fixture
async def players(session: AsyncSession) -> None:
    values = product(("ann", "Bob"), (None, "blue", "red"), (None, 1, 2))
    rows = [
        {"id": UUID(int=number * 7919 % 18), "name": name, "team": team, "score": score}
        for number, (name, team, score) in enumerate(values)
    ]
    for table in METADATA.sorted_tables:
        await session.execute(CreateTable(table))
    await session.execute(insert(PLAYERS), rows)
    await session.execute(insert(TEAMS), {"team": "red", "city": "Oslo"})


async def walk(database: Database, pages: KeysetPages, **parameters: Any) -> list[Any]:
    """Return the rows of all pages."""
    found: list[Any] = []
    after = None
    while True:
        page = await pages.fetch(database, parameters, after=after, limit=4)
        found += page.items
        after = page.next
        if after is None:
            return found


@pytest.mark.usefixtures("players")
@pytest.mark.parametrize("order", ORDERS.values(), ids=list(ORDERS))
async def test_the_pages_are_the_list(
    session: AsyncSession,
    rolled_back: Database,
    order: list[Any],
) -> None:
    result = await session.execute(select(PLAYERS).order_by(*order))
    expected = [dict(row) for row in result.mappings()]
    found = await walk(rolled_back, KeysetPages(select(PLAYERS), *order))
    assert found == expected


@pytest.mark.usefixtures("players")
async def test_a_joined_column_orders_a_list(rolled_back: Database) -> None:
    statement = select(PLAYER.id).outerjoin(TEAMS, PLAYER.team == TEAMS.c.team)
    pages = KeysetPages(statement, TEAMS.c.team.nulls_last(), PLAYER.id)
    found = await walk(rolled_back, pages)
    assert len({row["id"] for row in found}) == 18
    assert found[0].keys() == {"id"}


@pytest.mark.usefixtures("players")
async def test_a_filter_applies_when_it_has_a_value(rolled_back: Database) -> None:
    pages = KeysetPages(
        select(PLAYERS),
        PLAYER.id,
        filters={
            "team": PLAYER.team == bindparam("team"),
            "score": PLAYER.score > bindparam("score"),
        },
    )
    everybody = await walk(rolled_back, pages)
    reds = await walk(rolled_back, pages, team="red", score=None)
    assert (len(everybody), len(reds)) == (18, 6)
    found = await walk(rolled_back, pages, team="red", score=1)
    assert {(row["team"], row["score"]) for row in found} == {("red", 2)}


@pytest.mark.usefixtures("players")
async def test_a_cursor_is_good_for_its_list_alone(rolled_back: Database) -> None:
    filters = {"team": PLAYER.team == bindparam("team")}
    pages = KeysetPages(select(PLAYERS), PLAYER.id, filters=filters)
    others = [
        KeysetPages(select(PLAYERS), PLAYER.id.desc()),
        KeysetPages(select(PLAYERS), PLAYER.name, PLAYER.id),
        KeysetPages(select(PLAYERS).where(PLAYER.name == "ann"), PLAYER.id),
        KeysetPages(select(PLAYERS).where(PLAYER.name == "Bob"), PLAYER.id),
    ]
    foreign = [await cursor_of(rolled_back, each) for each in others]
    foreign += [await cursor_of(rolled_back, pages, team=team) for team in ("red", "blue")]
    own = await cursor_of(rolled_back, pages)
    assert len({own, *foreign}) == 7
    for cursor in foreign:
        with pytest.raises(InvalidCursorError):
            await pages.fetch(rolled_back, after=cursor, limit=4)
    # A further column makes no other list.
    narrow = KeysetPages(select(PLAYER.id, PLAYER.name), PLAYER.id, filters=filters)
    same = await cursor_of(rolled_back, narrow)
    assert same == own


@pytest.mark.usefixtures("players")
@pytest.mark.parametrize(
    ("column", "forged"),
    [
        (PLAYER.name, "a\0b"),
        (PLAYER.name, None),
        (PLAYER.score, 2**63),
        (PLAYER.score, float("inf")),
        (PLAYER.joined_at, "2026-01-01T00:00:00"),
        (PLAYER.joined_at, "0001-01-01T00:00:00+14:00"),
        (PLAYER.joined_at, "yesterday"),
        (PLAYER.joined_at, [[[]]]),
    ],
)
async def test_a_forged_position_is_refused(
    rolled_back: Database,
    column: Column[Any],
    forged: object,
) -> None:
    pages = KeysetPages(select(PLAYERS), column, PLAYER.id)
    cursor = await cursor_of(rolled_back, pages)
    content = json.loads(urlsafe_b64decode(cursor))
    content[1] = forged
    cursor = urlsafe_b64encode(json.dumps(content).encode()).decode()
    with pytest.raises(InvalidCursorError):
        await pages.fetch(rolled_back, after=cursor, limit=4)


@pytest.mark.usefixtures("players")
@pytest.mark.parametrize("forged", ["", "é", "none", "[]", "[1, 2]", '["x", 1, 2]', "[" * 10_000])
async def test_a_forged_cursor_is_refused(rolled_back: Database, forged: str) -> None:
    pages = KeysetPages(select(PLAYERS), PLAYER.id)
    for cursor in (forged, urlsafe_b64encode(forged.encode()).decode()):
        with pytest.raises(InvalidCursorError):
            await pages.fetch(rolled_back, after=cursor, limit=4)


async def cursor_of(database: Database, pages: KeysetPages, **parameters: Any) -> str:
    """Return the cursor of the second page."""
    page = await pages.fetch(database, parameters, after=None, limit=1)
    assert page.next is not None
    return page.next
{% endcall %}
