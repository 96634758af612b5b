"""No exception, traceback or line of a log shows a value of a row or a parameter."""

{% if cookiecutter.engine == "async" %}
import logging
import traceback
from datetime import datetime
from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import BigInteger, Dialect, Enum, bindparam, select, text
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
{% else %}
import logging
import traceback
from datetime import datetime
from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import BigInteger, Dialect, Enum, bindparam, select, text
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
{% endif %}
from sqlalchemy.types import String, TypeDecorator

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from {{ cookiecutter.project_slug }}.database import Database, Fault, fault_of
from {{ cookiecutter.project_slug }}.database.base import AwareDateTime
from {{ cookiecutter.project_slug }}.database.hidden_values import RefusedValueError
from {{ cookiecutter.project_slug }}.settings import Settings

SECRET = "hunter2"
STATEMENTS = (
    "CREATE DOMAIN pg_temp.mail AS text CHECK (value LIKE '%@%')",
    "CREATE TEMPORARY TABLE people (id int NOT NULL, name text PRIMARY KEY,"
    " code varchar(3), age int CHECK (age < 200), boss text REFERENCES people (name),"
    " EXCLUDE USING btree (code WITH =), mail pg_temp.mail)",
    "CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " RAISE EXCEPTION 'no % here', NEW.name USING DETAIL = NEW.name, HINT = NEW.name;"
    " END $$",
    "CREATE FUNCTION pg_temp.refuse_as_a_check() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " RAISE check_violation USING MESSAGE = NEW.name; END $$",
    "INSERT INTO people VALUES (1, 'hunter2', 'abc')",
)
TRIGGER = "CREATE TRIGGER refuse BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION pg_temp."


class Model(DeclarativeBase):
    """The base of this module's models, which no migration knows."""


class Person(Model):
    __tablename__ = "people"

    id: Mapped[int]
    name: Mapped[str] = mapped_column(primary_key=True)
    age: Mapped[int | None]


class Refuses(TypeDecorator[str]):
    """A type whose refusal names the value."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        raise ValueError(f"not {value}")


class Number(BaseModel):
    number: int


class CheckedByPydantic(TypeDecorator[str]):
    """A type whose refusal has a text that cannot be changed."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return str(Number.model_validate({"number": value}))


class Kind(StrEnum):
    ONE = "one"


def shown(error: BaseException) -> str:
    """Return what a log shows of the exception."""
    return "".join(traceback.format_exception(error))


async def prepare(session: AsyncSession) -> None:
    for statement in STATEMENTS:
        await session.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        pytest.param("INSERT INTO people VALUES (NULL, :value)", "not-null", id="NOT NULL"),
        pytest.param(
            "INSERT INTO people (id, name, age) VALUES (1, 'a' || :value, 999)",
            "people_age_check",
            id="CHECK",
        ),
        pytest.param("INSERT INTO people VALUES (1, :value)", "people_pkey", id="unique"),
        pytest.param(
            "INSERT INTO people (id, name, boss) VALUES (1, 'a', :value || 'x')",
            "people_boss_fkey",
            id="foreign key",
        ),
        pytest.param(
            "INSERT INTO people VALUES (1, 'a' || :value, 'abc')",
            "people_code_excl",
            id="exclusion",
        ),
        pytest.param("INSERT INTO people VALUES (1, 'a', :value)", "too long", id="too long"),
        pytest.param(
            "INSERT INTO people (id, name, mail) VALUES (1, 'a', :value)",
            "mail_check",
            id="domain",
        ),
        pytest.param("SELECT CAST(name AS int), :value FROM people", "integer", id="cast"),
        pytest.param("SELECT CAST(CAST(:value AS text) AS int)", "integer", id="cast of a value"),
        pytest.param("SELECT CAST(CAST(:value AS text) AS jsonb)", "json", id="JSON"),
        pytest.param("SELECT CAST(CAST(:value AS text) AS timestamptz)", "timestamp", id="time"),
        pytest.param("SELECT CAST(:value AS uuid)", None, id="UUID"),
        pytest.param("SELECT date_trunc(:value, now())", "unit", id="argument"),
        pytest.param("SELECT to_tsquery(:value || ' b')", "tsquery", id="full-text search"),
        pytest.param("SELECT nextval(CAST(:value AS text)::regclass)", "relation", id="name"),
        pytest.param("SELECT 1 / 0, CAST(:value AS text)", "division by zero", id="another error"),
    ],
)
async def test_an_error_of_the_server(
    database: Database,
    statement: str,
    words: str | None,
) -> None:
    with pytest.raises(DBAPIError, match=words) as failure:
        async with database.transaction() as session:
            await prepare(session)
            await session.execute(text(statement), {"value": SECRET})
    assert SECRET not in shown(failure.value)


@pytest.mark.parametrize("trigger", ["refuse", "refuse_as_a_check"])
async def test_what_a_function_raises(database: Database, trigger: str) -> None:
    with pytest.raises(DBAPIError, match="a function of the database") as failure:
        async with database.transaction() as session:
            await prepare(session)
            await session.execute(text(f"{TRIGGER}{trigger}()"))
            session.add(Person(id=1, name=f"other {SECRET}"))
    assert SECRET not in shown(failure.value)


async def test_a_flush_of_many_objects(database: Database) -> None:
    with pytest.raises(DBAPIError, match="people_pkey") as failure:
        async with database.transaction() as session:
            await prepare(session)
            session.add_all(Person(id=n, name=SECRET[: 7 - n]) for n in range(3))
    assert SECRET not in shown(failure.value)


async def test_a_statement_for_many_rows(database: Database) -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "name": "Ann"}, {"id": None, "name": SECRET}]
    with pytest.raises(DBAPIError, match="not-null") as failure:
        async with database.transaction() as session:
            await prepare(session)
            statement = text("INSERT INTO people (id, name) VALUES (:id, 'x' || :name)")
            await session.execute(statement, rows)
    assert SECRET not in shown(failure.value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(bindparam("value", type_=Refuses), id="a type of one's own"),
        pytest.param(bindparam("value", type_=CheckedByPydantic), id="pydantic"),
        pytest.param(bindparam("value", type_=Enum(Kind, validate_strings=True)), id="enum"),
    ],
)
async def test_a_refusal_in_python(database: Database, value: Any) -> None:
    with pytest.raises(StatementError, match="message is hidden") as failure:
        async with database.read_only() as session:
            await session.execute(select(value), {"value": SECRET})
    assert SECRET not in shown(failure.value)
    assert fault_of(failure.value) is Fault.INVALID


async def test_a_refusal_that_names_no_value_is_shown(database: Database) -> None:
    statement = select(bindparam("time", type_=AwareDateTime))
    with pytest.raises(StatementError, match="naive datetime") as failure:
        async with database.read_only() as session:
            await session.execute(statement, {"time": datetime(2026, 11, 22)})
    assert isinstance(failure.value.orig, RefusedValueError)


@pytest.mark.parametrize("number", [123456789 * 10**12, SECRET])
async def test_a_refusal_of_the_driver(database: Database, number: Any) -> None:
    statement = select(bindparam("number", type_=BigInteger))
    with pytest.raises(StatementError) as failure:
        async with database.read_only() as session:
            await session.execute(statement, {"number": number})
    assert str(number) not in shown(failure.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [("abc", "people_pkey"), (SECRET, "too long")],
)
async def test_a_copy_of_the_driver(database: Database, code: str, words: str) -> None:
    with pytest.raises(Exception, match=words) as failure:
        async with database.transaction() as session:
            await prepare(session)
            await copy_people(session, [(1, SECRET, code)])
    assert SECRET not in shown(failure.value)


async def copy_people(session: AsyncSession, records: list[Any]) -> None:
    connection = await session.connection()
{% if cookiecutter.engine == "async" %}
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    columns = ["id", "name", "code"]
    await driver.copy_records_to_table("people", records=records, columns=columns)
{% else %}
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy("COPY people (id, name, code) FROM STDIN") as copy:
        for record in records:
            copy.write_row(record)
{% endif %}


async def test_an_error_that_names_no_value_is_whole(database: Database) -> None:
    for statement, words in (
        ("SELECT nonsense FROM pg_class", 'column "nonsense" does not exist'),
        ("DROP TABLE nonsense", 'table "nonsense" does not exist'),
    ):
        with pytest.raises(DBAPIError, match=words):
            async with database.transaction() as session:
                await session.execute(text(statement))


async def test_the_log_of_sqlalchemy(
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="sqlalchemy.engine")
    async with Database(Settings(database_url=database_url)) as database:
        async with database.read_only() as session:
            await session.execute(text("SELECT CAST(:value AS text)"), {"value": SECRET})
    assert "AS text" in caplog.text
    assert SECRET not in caplog.text
{% endcall %}
