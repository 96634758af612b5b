"""fetch() gives what SQLAlchemy gives, and fails as it does: the first time, and every other."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import asyncio
import ipaddress
import itertools
import logging
from collections.abc import AsyncIterator
{% if cookiecutter.engine == "sync" %}
from concurrent.futures import ThreadPoolExecutor
{% endif %}
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam, event, func, literal, select, text
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError

from {{ cookiecutter.project_slug }}.database import Database, Fault, engine, fault_of
from {{ cookiecutter.project_slug }}.database.base import AwareDateTime
from {{ cookiecutter.project_slug }}.database.faults import OutcomeUnknownError
from {{ cookiecutter.project_slug }}.settings import Settings

NOWHERE = "postgresql://postgres:secret@127.0.0.1:1/postgres"
OWN_PID = func.pg_backend_pid()
NOON = datetime(2026, 11, 22, 12, 30, 15, 123456)
INDIA = timezone(timedelta(hours=5, minutes=30))
ID = UUID("0192f0c1-2345-7abc-8def-0123456789ab")
JSON = {"a": [1, 2.5, None, "é"], "b": {}}


class Mood(Enum):
    GLAD = "glad"
    SAD = "sad"


class Lowered(sa.types.TypeDecorator[str]):
    """Changes values on their way in and out."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value and value.lower()

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value and f"<{value}>"


MOOD = sa.Enum(Mood, name="test_mood")
NUMBERS = itertools.count(100)


def checked_out(database: Database) -> int:
    pools = [watched.sync_engine.pool for watched in database.engines]
    return sum(pool.checkedout() for pool in pools if isinstance(pool, sa.QueuePool))


def next_number() -> int:
    return next(NUMBERS)


MOODS = sa.Table(
    "test_moods",
    sa.MetaData(),
    sa.Column("mood", MOOD),
    sa.Column("number", sa.Integer, default=next_number, onupdate=next_number),
)
REPLACE_ENUM = [
    "ALTER TYPE test_mood RENAME TO test_old_mood",
    "CREATE TYPE test_mood AS ENUM ('GLAD', 'SAD')",
    "ALTER TABLE test_moods ALTER mood TYPE test_mood USING mood::text::test_mood",
    "DROP TYPE test_old_mood",
]
# A deferred trigger ends the connection while the server commits the number 13.
DIE_AT_COMMIT = (
    "CREATE FUNCTION test_die() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'",
    "CREATE CONSTRAINT TRIGGER test_die AFTER INSERT ON test_moods DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW WHEN (NEW.number = 13) EXECUTE FUNCTION test_die()",
)
TYPES: list[tuple[Any, list[Any]]] = [
    (sa.Boolean(), [True, False]),
    (sa.SmallInteger(), [-1]),
    (sa.Integer(), [2**31 - 1]),
    (sa.BigInteger(), [-(2**63)]),
    (sa.Numeric(12, 4), [Decimal("1234.5"), Decimal(0)]),
    (sa.Numeric(12, 4, asdecimal=False), [1234.5]),
    (sa.Numeric(), [Decimal("1e30"), Decimal("-0.10")]),
    (sa.Float(), [0.1]),
    (sa.Float(asdecimal=True), [Decimal("0.5")]),
    (sa.Double(), [-1e300]),
    (sa.String(10), ["é'\\%s"]),
    (sa.CHAR(3), ["a"]),
    (sa.Unicode(), ["ß"]),
    (Lowered(), ["ABC"]),
    (sa.LargeBinary(), [b"\0\xff"]),
    (sa.PickleType(), [{"a": 1}]),
    (sa.Date(), [NOON.date(), date.min, date.max]),
    (sa.Time(), [NOON.time()]),
    (sa.Time(timezone=True), [time(12, tzinfo=INDIA)]),
    (sa.DateTime(), [NOON]),
    (sa.DateTime(timezone=True), [NOON.replace(tzinfo=INDIA)]),
    (AwareDateTime(), [NOON.replace(tzinfo=INDIA), NOON.replace(tzinfo=UTC)]),
    (sa.Interval(), [timedelta(days=-1, microseconds=1)]),
    (pg.INTERVAL(), [timedelta(hours=36)]),
    (sa.Uuid(), [ID]),
    (sa.Uuid(as_uuid=False), [str(ID)]),
    (sa.JSON(), [JSON, [], "text", 1.5, sa.JSON.NULL]),
    (pg.JSONB(), [JSON, {}, [None], True, sa.JSON.NULL]),
    (pg.JSONB(none_as_null=True), [JSON]),
    (sa.Enum("glad", "sad", native_enum=False, length=9), ["sad"]),
    (sa.Enum(Mood, native_enum=False), [Mood.GLAD]),
    (MOOD, [Mood.GLAD, Mood.SAD]),
    (pg.ARRAY(MOOD), [[Mood.GLAD, None], []]),
    (pg.ARRAY(sa.Integer), [[1, None], []]),
    (pg.ARRAY(sa.Text, dimensions=2), [[["a", "b"], ["c", None]]]),
    (pg.ARRAY(sa.Numeric(8, 2)), [[Decimal("1.25")]]),
    (pg.ARRAY(sa.Uuid), [[ID]]),
    (pg.ARRAY(pg.JSONB), [[JSON, {}]]),
    (pg.ARRAY(AwareDateTime), [[NOON.replace(tzinfo=UTC)]]),
    (pg.ARRAY(sa.Interval, as_tuple=True), [(timedelta(1),)]),
    (pg.INT4RANGE(), [pg.Range(1, 5), pg.Range(None, 3), pg.Range(empty=True)]),
    (pg.INT8RANGE(), [pg.Range(1, 2**40)]),
    (pg.NUMRANGE(), [pg.Range(Decimal("1.5"), Decimal(2), bounds="(]")]),
    (pg.DATERANGE(), [pg.Range(date(2026, 1, 1), None)]),
    (pg.TSRANGE(), [pg.Range(NOON, NOON + timedelta(1))]),
    (pg.TSTZRANGE(), [pg.Range(NOON.replace(tzinfo=UTC), None, bounds="()")]),
    (pg.INT4MULTIRANGE(), [[pg.Range(1, 2), pg.Range(5, 9)], []]),
    (pg.DATEMULTIRANGE(), [[pg.Range(date(2026, 1, 1), date(2026, 1, 2))]]),
    (pg.ARRAY(pg.INT4RANGE), [[pg.Range(1, 2)]]),
    (pg.INET(), [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_interface("10.0.0.1/8")]),
    (pg.CIDR(), [ipaddress.ip_network("10.0.0.0/8")]),
    (pg.MACADDR(), ["08:00:2b:01:02:03"]),
    (pg.OID(), [2**32 - 1]),
    (pg.TSVECTOR(), ["'cat':1 'fat'"]),
]


@pytest.fixture
async def moods(database: Database) -> AsyncIterator[Database]:
    """The worker's Database, with an enum of PostgreSQL and a table of one row."""
    async with database.transaction() as session:
        await session.execute(text("CREATE TYPE test_mood AS ENUM ('GLAD', 'SAD')"))
        await session.execute(text("CREATE TABLE test_moods (mood test_mood, number int)"))
        await session.execute(text("INSERT INTO test_moods VALUES ('SAD', 7)"))
    yield database
    async with database.transaction() as session:
        await session.execute(text("DROP TABLE test_moods"))
        await session.execute(text("DROP TYPE test_mood"))


async def test_a_value_of_each_type_is_what_sqlalchemy_gives(moods: Database) -> None:
    for kind, values in TYPES:
        statement = select(sa.cast(bindparam("value", type_=kind), kind).label("value"))
        for value in [*values, None, *values, *values]:
            async with moods.engine.connect() as connection:
                result = await connection.execute(statement, {"value": value})
                expected = result.scalar_one()
            found = await moods.fetch(statement, {"value": value})
            assert repr(found) == repr([{"value": expected}]), repr(kind)
            assert type(found[0]["value"]) is type(expected), repr(kind)


async def test_literals_are_those_of_their_own_statement(database: Database) -> None:
    # SQLAlchemy compiles the two only once.
    one, two = select(literal(1).label("n")), select(literal(2).label("n"))
    for _ in range(4):
        assert await database.fetch(one) == [{"n": 1}]
        assert await database.fetch(two) == [{"n": 2}]


async def test_a_statement_may_be_made_anew_each_time(database: Database) -> None:
    for number in range(4):
        assert await database.fetch(select(literal(number).label("n"))) == [{"n": number}]


async def test_an_in_takes_lists_of_any_length(database: Database) -> None:
    numbers = sa.values(sa.column("n", sa.Integer), name="numbers").data([(1,), (2,), (3,)])
    wanted_ones = numbers.c.n.in_(bindparam("wanted", expanding=True))
    statement = select(numbers.c.n).where(wanted_ones)
    for wanted in ([1], [2, 3], [], [3]):
        assert await database.fetch(statement, {"wanted": wanted}) == [{"n": n} for n in wanted]


async def test_a_limit_is_that_of_its_call(database: Database) -> None:
    numbers = sa.values(sa.column("n", sa.Integer), name="numbers").data([(1,), (2,), (3,)])
    statement = select(numbers.c.n).limit(bindparam("limit", type_=sa.Integer))
    for limit in (1, 2, 3, 1):
        found = await database.fetch(statement, {"limit": limit})
        assert len(found) == limit


async def test_a_parameter_may_have_any_name(database: Database) -> None:
    statement = select(bindparam("share (%)", type_=sa.Integer).label("n"))
    for number in (1, 2, 3, 4):
        assert await database.fetch(statement, {"share (%)": number}) == [{"n": number}]


async def test_a_value_that_is_missing_is_the_error_of_sqlalchemy(database: Database) -> None:
    statement = select(bindparam("one", type_=sa.Integer), bindparam("two", type_=sa.Integer))
    for _ in range(3):
        await database.fetch(statement, {"one": 1, "two": 2})
        with pytest.raises(SQLAlchemyError, match="'two'"):
            await database.fetch(statement, {"one": 1})


async def test_two_columns_of_one_name_are_refused(database: Database) -> None:
    statement = select(literal(1).label("n"), literal(2).label("n"))
    for _ in range(3):
        with pytest.raises(InvalidRequestError, match="same name"):
            await database.fetch(statement)


async def test_a_schema_is_that_of_its_database(moods: Database, database_url: str) -> None:
    """schema_translate_map, each time."""
    statement = select(MOODS.c.number)
    options: dict[str, Any] = {"schema_translate_map": {None: "information_schema"}}
    moved = statement.execution_options(**options)
    for _ in range(4):
        assert await moods.fetch(statement) == [{"number": 7}]
        with pytest.raises(DBAPIError, match=r"information_schema\.test_moods"):
            await moods.fetch(moved)


async def test_a_statement_may_be_the_start_of_another(moods: Database) -> None:
    insert = sa.insert(MOODS)
    for _ in range(3):
        assert await moods.fetch(insert, {"number": 1}) == []
        returning = insert.returning(MOODS.c.number)
        assert await moods.fetch(returning, {"number": 2}) == [{"number": 2}]


FAILURES: list[tuple[str, Any, Any, Any]] = [
    ("division", 1 / bindparam("value", type_=sa.Integer), 1, 0),
    ("too large", bindparam("value", type_=sa.BigInteger), 1, 123456789 * 10**12),
    ("no UTF-8", bindparam("value", type_=sa.Text), "a", "\ud800"),
    ("NUL", bindparam("value", type_=sa.Text), "a", "a\0b"),
    ("not for the column", bindparam("value", type_=AwareDateTime), NOON.astimezone(UTC), NOON),
    ("of another type", bindparam("value", type_=sa.Date), NOON.date(), "hunter2"),
    ("timeout", func.pg_sleep(bindparam("value", type_=sa.Double)), 0, 5),
    (
        "killed",
        sa.case((bindparam("value", type_=sa.Boolean), func.pg_terminate_backend(OWN_PID))),
        False,
        True,
    ),
    ("write", func.nextval(bindparam("value", type_=sa.Text)), None, "test_numbers"),
]


@pytest.mark.parametrize(
    ("expression", "good", "bad"),
    [pytest.param(*each[1:], id=each[0]) for each in FAILURES],
)
@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_an_error_is_the_one_that_sqlalchemy_raises(
    moods: Database,
    database_url: str,
    expression: Any,
    good: Any,
    bad: Any,
    pgbouncer: bool,
) -> None:
    sequence = text("CREATE SEQUENCE IF NOT EXISTS test_numbers OWNED BY test_moods.number")
    async with moods.transaction() as session:
        await session.execute(sequence)
    statement = select(expression.label("value"))
    settings = Settings(
        database_url=database_url,
        database_pgbouncer=pgbouncer,
        database_statement_timeout=0.2,
    )
    async with Database(settings) as database:
        for _ in range(2):
            with pytest.raises(SQLAlchemyError) as expected:
                async with database.read_only() as session:
                    await session.execute(statement, {"value": bad})
            for _ in range(2):
                await database.fetch(statement, {"value": good})
            with pytest.raises(SQLAlchemyError) as failure:
                await database.fetch(statement, {"value": bad})
            assert isinstance(failure.value, type(expected.value))
            assert fault_of(failure.value) is fault_of(expected.value)
        await database.fetch(statement, {"value": good})
        assert checked_out(database) == 0


@pytest.mark.parametrize(
    "name",
    ["before_cursor_execute", "after_cursor_execute", "before_execute", "after_execute"],
)
async def test_a_listener_sees_every_execution(database: Database, name: str) -> None:
    seen: list[Any] = []

    def note(*arguments: Any) -> None:
        seen.append(arguments)

    statement = select(literal(1).label("n"))
    for _ in range(3):
        await database.fetch(statement)
    for watched in database.engines:
        event.listen(watched.sync_engine, name, note)
    for _ in range(3):
        await database.fetch(statement)
    for watched in database.engines:
        event.remove(watched.sync_engine, name, note)
    await database.fetch(statement)
    assert len(seen) == 3


async def test_the_log_of_sql_is_complete(
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    statement = select(literal(1).label("logged"))
    for _ in range(3):
        await database.fetch(statement)
    with caplog.at_level(logging.INFO, logger="sqlalchemy.engine"):
        await database.fetch(statement)
    assert any("AS logged" in each.message for each in caplog.records)


async def test_a_connection_that_the_server_has_closed_is_replaced(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "PING_AFTER_IDLE", -1.0)
    statement = select(OWN_PID.label("pid"))
    async with Database(Settings(database_url=database_url)) as database:
        first = await database.fetch(statement)
        for _ in range(3):
            assert await database.fetch(statement) == first
        async with database.transaction() as session:
            # Waits until it is closed, for at most 5 s.
            await session.execute(select(func.pg_terminate_backend(first[0]["pid"], 5000)))
        assert await database.fetch(statement) != first


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        pytest.param(
            select(MOODS.c.number),
            ["ALTER TABLE test_moods ALTER number TYPE bigint"],
            id="wider column",
        ),
        pytest.param(
            select(text("*")).select_from(text("test_moods")),
            ["ALTER TABLE test_moods ADD more int"],
            id="asterisk",
        ),
        pytest.param(
            select(MOODS.c.number).where(MOODS.c.mood == Mood.SAD),
            REPLACE_ENUM,
            id="replaced enum",
        ),
        pytest.param(
            select(MOODS.c.number).where(
                MOODS.c.mood == sa.any_(bindparam("moods", [Mood.SAD], pg.ARRAY(MOOD))),
            ),
            REPLACE_ENUM,
            id="array of a replaced enum",
        ),
    ],
)
@pytest.mark.parametrize("in_session", [False, True])
async def test_a_changed_table_costs_a_reader_one_answer_at_most(
    moods: Database,
    database_url: str,
    statement: sa.Select[Any],
    changes: list[str],
    in_session: bool,
) -> None:
    async def read(database: Database) -> None:
        if in_session:
            async with database.read_only() as session:
                await session.execute(statement)
        else:
            await database.fetch(statement)

    faults: list[Fault | None] = []
    async with Database(Settings(database_url=database_url)) as database:
        for _ in range(7):  # the drivers prepare what they see often
            await read(database)
        async with moods.transaction() as session:
            for change in changes:
                await session.execute(text(change))
        for _ in range(10):
            try:
                await read(database)
            except DBAPIError as error:
                faults.append(fault_of(error))
    assert faults in ([], [Fault.UNAVAILABLE])


async def test_stale_rows_come_from_the_replica_while_it_answers(
    database_url: str,
    fresh_url: str,
) -> None:
    statement = select(func.current_database().label("name"))
    for replica_url, expected in ((fresh_url, fresh_url), (NOWHERE, database_url)):
        settings = Settings(database_url=database_url, database_replica_url=replica_url)
        async with Database(settings) as database:
            for _ in range(4):
                [row] = await database.fetch(statement, stale_ok=True)
                assert row["name"] in expected
            [row] = await database.fetch(statement)
            assert row["name"] in database_url


async def test_a_replica_that_refuses_a_statement_is_not_left(
    database_url: str,
    fresh_url: str,
) -> None:
    settings = Settings(database_url=database_url, database_replica_url=fresh_url)
    divided = select((1 / bindparam("value", type_=sa.Integer)).label("n"))
    async with Database(settings) as database:
        for _ in range(3):
            with pytest.raises(DBAPIError, match="division by zero"):
                await database.fetch(divided, {"value": 0}, stale_ok=True)


async def test_a_write_has_the_columns_that_are_given(moods: Database) -> None:
    write = sa.insert(MOODS).returning(MOODS.c.number)
    # The column's default and onupdate are functions of Python, which are called each time.
    for number in (1, 2, 3):
        assert await moods.fetch(write, {"number": number}) == [{"number": number}]
        [first], [second] = await moods.fetch(write), await moods.fetch(write)
        assert second["number"] == first["number"] + 1
    change = sa.update(MOODS).where(MOODS.c.number == bindparam("old")).values(mood=Mood.SAD)
    [changed] = await moods.fetch(change.returning(MOODS.c.number), {"old": 2})
    assert changed["number"] > 100


async def test_a_write_without_returning_is_committed(moods: Database) -> None:
    count = select(func.count().label("n")).select_from(MOODS).where(MOODS.c.number == 9)
    for expected in (1, 2, 3, 4):
        assert await moods.fetch(sa.insert(MOODS), {"number": 9, "mood": Mood.SAD}) == []
        assert await moods.fetch(count) == [{"n": expected}]
    change = sa.update(MOODS).where(MOODS.c.number == bindparam("old")).values(number=8)
    remove = sa.delete(MOODS).where(MOODS.c.number == bindparam("gone"))
    for _ in range(4):
        assert await moods.fetch(change, {"old": 9}) == []
        assert await moods.fetch(remove, {"gone": 8}) == []
    assert await moods.fetch(count) == [{"n": 0}]


async def test_a_write_whose_row_cannot_be_read_is_done_once_and_says_so(
    fresh_database: Database,
) -> None:
    """Python knows no year 20000: a failure of the driver, after the server has done its work."""
    times = sa.table("test_times", sa.column("at", AwareDateTime))
    given = sa.cast(bindparam("at", type_=sa.Text), AwareDateTime)
    write = sa.insert(times).values(at=given).returning(times.c.at)
    async with fresh_database.transaction() as session:
        await session.execute(text("CREATE TABLE test_times (at timestamptz)"))
    for _ in range(3):
        await fresh_database.fetch(write, {"at": "2026-11-22"})
    with pytest.raises(OutcomeUnknownError):
        await fresh_database.fetch(write, {"at": "20000-01-01"})
    count = select(func.count().label("n")).select_from(times)
    assert await fresh_database.fetch(count) == [{"n": 4}]


async def test_a_write_that_fails_at_its_commit_raises(moods: Database) -> None:
    async with moods.transaction() as session:
        unique = "ALTER TABLE test_moods ADD UNIQUE (number) DEFERRABLE INITIALLY DEFERRED"
        await session.execute(text(unique))
    for write in (sa.insert(MOODS), sa.insert(MOODS).returning(MOODS.c.number)):
        for number in (1, 2, 3):
            with pytest.raises(DBAPIError) as failure:
                await moods.fetch(write, {"number": 7})
            assert fault_of(failure.value) is Fault.CONFLICT
            await moods.fetch(write, {"number": number})
        async with moods.transaction() as session:
            await session.execute(text("DELETE FROM test_moods WHERE number < 7"))
    assert checked_out(moods) == 0


@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_a_write_whose_commit_is_lost_has_an_unknown_outcome(
    moods: Database,
    database_url: str,
    pgbouncer: bool,
) -> None:
    async with moods.transaction() as session:
        for statement in DIE_AT_COMMIT:
            await session.execute(text(statement))
    write = sa.insert(MOODS).returning(MOODS.c.number)
    settings = Settings(database_url=database_url, database_pgbouncer=pgbouncer)
    async with Database(settings) as database:
        for number in (1, 2, 3):
            with pytest.raises(OutcomeUnknownError) as failure:
                await database.fetch(write, {"number": 13})
            assert fault_of(failure.value) is Fault.OUTCOME_UNKNOWN
            assert await database.fetch(write, {"number": number}) == [{"number": number}]
    async with moods.transaction() as session:
        await session.execute(text("DROP FUNCTION test_die CASCADE"))


async def test_a_replaced_enum_costs_a_writer_one_answer_at_most(
    moods: Database,
    database_url: str,
) -> None:
    write = sa.insert(MOODS).returning(MOODS.c.mood)
    faults: list[Fault | None] = []
    async with Database(Settings(database_url=database_url)) as database:
        for _ in range(7):
            await database.fetch(write, {"mood": Mood.SAD, "number": 1})
        async with moods.transaction() as session:
            for change in REPLACE_ENUM:
                await session.execute(text(change))
        for _ in range(10):
            try:
                await database.fetch(write, {"mood": Mood.SAD, "number": 1})
            except DBAPIError as error:
                faults.append(fault_of(error))
    assert faults in ([], [Fault.UNAVAILABLE])


async def test_only_the_task_of_a_transaction_is_kept_from_writing(moods: Database) -> None:
    write = sa.insert(MOODS)

    async def write_one() -> None:
        await moods.fetch(write, {"number": 1})

    async with moods.transaction() as session:
        await session.execute(text("SELECT 1"))
        with pytest.raises(InvalidRequestError):
            await write_one()
{% if cookiecutter.engine == "async" %}
        await asyncio.create_task(write_one())
{% else %}
        with ThreadPoolExecutor(1) as executor:
            executor.submit(write_one).result()
{% endif %}
        async with moods.read_only() as reader, moods.read_only():
            await reader.execute(text("SELECT 1"))
            with pytest.raises(InvalidRequestError):
                await write_one()
    await write_one()
{% endcall %}
