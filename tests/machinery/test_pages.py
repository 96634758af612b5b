"""The pages of a list are the list, in every order, and a cursor is good for its list alone."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    Uuid,
    bindparam,
    func,
    insert,
    select,
    text,
)

from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.queries.pages import (
    InvalidCursorError,
    KeysetPages,
    Term,
    rows_after,
)

METADATA = MetaData()
PLAYERS = Table(
    "machinery_players",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("name", String, nullable=False),
    Column("team", String),
    Column("score", Integer),
    Column("weight", Float),
    Column("token", LargeBinary),
    Column("joined_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
TEAMS = Table(
    "machinery_teams",
    METADATA,
    Column("team", String, primary_key=True),
    Column("city", String),
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
    "two columns with nulls at either end": [
        PLAYER.team.nulls_first(),
        PLAYER.score.desc().nulls_last(),
        PLAYER.id.desc(),
    ],
    "nulls that are not there": [PLAYER.name.desc().nulls_last(), PLAYER.id.nulls_first()],
    "expression": [LOWER_NAME, PLAYER.id],
    "expression in both directions": [LOWER_NAME.desc(), PLAYER.team.desc(), PLAYER.id],
    "floats": [PLAYER.weight, PLAYER.id],
    "bytes": [PLAYER.token.desc(), PLAYER.id],
}


@pytest.fixture(scope="module")
async def players(database: Database) -> AsyncIterator[None]:
    values = product(("ann", "Bob"), (None, "blue", "red"), (None, 1, 2))
    rows = [
        {
            "id": UUID(int=number * 7919 % 18),
            "name": name,
            "team": team,
            "score": score,
            "weight": (None, 0.1, float("inf"))[number % 3],
            "token": (None, b"\xff\0", "é".encode())[number % 3],
        }
        for number, (name, team, score) in enumerate(values)
    ]
    async with database.transaction() as session:
        connection = await session.connection()
{% if cookiecutter.engine == "async" %}
        await connection.run_sync(METADATA.create_all)
{% else %}
        METADATA.create_all(connection)
{% endif %}
        await session.execute(insert(PLAYERS), rows)
        await session.execute(insert(TEAMS), {"team": "red", "city": "Oslo"})
    yield
    async with database.transaction() as session:
        await session.execute(text("DROP TABLE machinery_players, machinery_teams"))


async def walk(
    database: Database,
    pages: KeysetPages,
    *,
    limit: int = 4,
    **parameters: Any,
) -> list[Any]:
    """Return the rows of all pages."""
    found: list[Any] = []
    after = None
    while True:
        page = await pages.fetch(database, parameters, after=after, limit=limit)
        assert len(page.items) == limit or page.next is None
        found += page.items
        after = page.next
        if after is None:
            return found


@pytest.mark.usefixtures("players")
@pytest.mark.parametrize("limit", [1, 4, 18])
@pytest.mark.parametrize("order", ORDERS.values(), ids=list(ORDERS))
async def test_the_pages_are_the_list(database: Database, order: list[Any], limit: int) -> None:
    expected = await database.fetch(select(PLAYERS).order_by(*order))
    pages = KeysetPages(select(PLAYERS), *order)
    # Again and again: from its third time on, fetch() executes a statement by its plan.
    for _ in range(3):
        assert await walk(database, pages, limit=limit) == expected


@pytest.mark.usefixtures("players")
@pytest.mark.parametrize(
    ("statement", "names"),
    [
        (select(PLAYER.id, PLAYER.team), ["id", "team"]),
        (select(PLAYER.id, PLAYER.name.label("team")), ["id", "team"]),
        (select(PLAYER.id, LOWER_NAME), ["id", "lower_1"]),
        (select(PLAYER.id, PLAYER.score.label("lower")), ["id", "lower"]),
    ],
)
async def test_rows_have_what_is_selected(
    database: Database,
    statement: Select[*tuple[Any, ...]],
    names: list[str],
) -> None:
    order = [PLAYER.team.desc(), LOWER_NAME, PLAYER.id]
    expected = await database.fetch(statement.order_by(*order))
    found = await walk(database, KeysetPages(statement, *order))
    assert found == expected
    assert list(found[0]) == names


@pytest.mark.usefixtures("players")
async def test_a_labelled_expression_orders_a_list(database: Database) -> None:
    lower_name = LOWER_NAME.label("lower_name")
    pages = KeysetPages(select(lower_name, PLAYER.score), lower_name.desc(), PLAYER.id)
    found = await walk(database, pages)
    assert [row["lower_name"] for row in found] == ["bob"] * 9 + ["ann"] * 9
    assert found[0].keys() == {"lower_name", "score"}


@pytest.mark.usefixtures("players")
async def test_a_joined_column_orders_a_list(database: Database) -> None:
    statement = select(PLAYER.id).outerjoin(TEAMS, PLAYER.team == TEAMS.c.team)
    pages = KeysetPages(statement, TEAMS.c.team.nulls_last(), PLAYER.id)
    found = await walk(database, pages)
    assert len({row["id"] for row in found}) == 18
    assert found[0].keys() == {"id"}


@pytest.mark.usefixtures("players")
async def test_a_filter_applies_when_it_has_a_value(database: Database) -> None:
    pages = KeysetPages(
        select(PLAYERS),
        PLAYER.id,
        filters={
            "team": PLAYER.team == bindparam("team"),
            "score": PLAYER.score > bindparam("score"),
        },
    )
    everybody = await walk(database, pages)
    reds = await walk(database, pages, team="red", score=None)
    assert (len(everybody), len(reds)) == (18, 6)
    found = await walk(database, pages, team="red", score=1)
    assert {(row["team"], row["score"]) for row in found} == {("red", 2)}


@pytest.mark.usefixtures("players")
async def test_a_list_has_parameters_of_its_own(database: Database) -> None:
    pages = KeysetPages(select(PLAYERS).where(PLAYER.team == bindparam("team")), PLAYER.id)
    for team in ("red", "blue"):
        found = await walk(database, pages, team=team)
        assert [row["team"] for row in found] == [team] * 6


@pytest.mark.usefixtures("players")
async def test_a_cursor_is_good_for_its_list_alone(database: Database) -> None:
    filters = {"team": PLAYER.team == bindparam("team")}
    pages = KeysetPages(select(PLAYERS), PLAYER.id, filters=filters)
    others = [
        KeysetPages(select(PLAYERS), PLAYER.id.desc()),
        KeysetPages(select(PLAYERS), PLAYER.name, PLAYER.id),
        KeysetPages(select(PLAYERS).where(PLAYER.name == "ann"), PLAYER.id),
        KeysetPages(select(PLAYERS).where(PLAYER.name == "Bob"), PLAYER.id),
        KeysetPages(select(PLAYERS).join(TEAMS, PLAYER.team == TEAMS.c.team), PLAYER.id),
    ]
    foreign = [await cursor_of(database, each) for each in others]
    foreign += [await cursor_of(database, pages, team=team) for team in ("red", "blue")]
    own = await cursor_of(database, pages)
    assert len({own, *foreign}) == 8
    for cursor in foreign:
        with pytest.raises(InvalidCursorError):
            await pages.fetch(database, after=cursor, limit=4)
    # A further column makes no other list.
    narrow = KeysetPages(select(PLAYER.id, PLAYER.name), PLAYER.id, filters=filters)
    same = await cursor_of(database, narrow)
    assert same == own


@pytest.mark.usefixtures("players")
@pytest.mark.parametrize(
    ("column", "forged"),
    [
        (PLAYER.name, "a\0b"),
        (PLAYER.name, "\ud800"),
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
    database: Database,
    column: Column[Any],
    forged: object,
) -> None:
    pages = KeysetPages(select(PLAYERS), column, PLAYER.id)
    cursor = await cursor_of(database, pages)
    content = json.loads(urlsafe_b64decode(cursor))
    content[1] = forged
    cursor = urlsafe_b64encode(json.dumps(content).encode()).decode()
    with pytest.raises(InvalidCursorError):
        await pages.fetch(database, after=cursor, limit=4)


@pytest.mark.usefixtures("players")
@pytest.mark.parametrize("forged", ["", "é", "none", "[]", "[1, 2]", '["x", 1, 2]', "[" * 10_000])
async def test_a_forged_cursor_is_refused(database: Database, forged: str) -> None:
    pages = KeysetPages(select(PLAYERS), PLAYER.id)
    for cursor in (forged, urlsafe_b64encode(forged.encode()).decode()):
        with pytest.raises(InvalidCursorError):
            await pages.fetch(database, after=cursor, limit=4)


@pytest.mark.usefixtures("players")
@pytest.mark.parametrize(
    "order",
    [
        [PLAYER.name, PLAYER.id],
        [PLAYER.name.desc(), PLAYER.id.desc()],
        [PLAYER.name, PLAYER.id.desc()],
        [PLAYER.name.desc(), PLAYER.score, PLAYER.id],
    ],
)
async def test_an_index_finds_the_place_of_a_page(database: Database, order: list[Any]) -> None:
    terms = [Term(each, f"after_{number}", {}) for number, each in enumerate(order)]
    values = {PLAYER.name: "ann", PLAYER.id: UUID(int=1), PLAYER.score: 1}
    position = [values[term.column] for term in terms]
    given = {term.parameter.key: value for term, value in zip(terms, position, strict=True)}
    page = select(PLAYERS).where(rows_after(terms, position)).order_by(*order).limit(4)
    sql = page.params(given).compile(
        dialect=database.engine.dialect,
        compile_kwargs={"literal_binds": True},
    )
    index = ", ".join(str(each).removeprefix("machinery_players.") for each in order)
    async with database.transaction() as session:
        await session.execute(text(f"CREATE INDEX ON machinery_players ({index})"))
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        await session.execute(text("SET LOCAL enable_bitmapscan = off"))
        await session.execute(text("SET LOCAL enable_sort = off"))
        lines = await session.scalars(text(f"EXPLAIN {sql}"))
        plan = "\n".join(lines)
        await session.rollback()
    assert "Index Cond: (" in plan
    assert "Sort" not in plan


async def cursor_of(database: Database, pages: KeysetPages, **parameters: Any) -> str:
    """Return the cursor of the second page."""
    page = await pages.fetch(database, parameters, after=None, limit=1)
    assert page.next is not None
    return page.next
{% endcall %}
