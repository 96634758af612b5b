"""A value comes back as it was stored, or is refused as a value: never changed in silence."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import ARRAY, BigInteger, bindparam, select, text
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import StatementError
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column
{% else %}
from sqlalchemy.orm import Mapped, Session, mapped_column
{% endif %}
from sqlalchemy.types import TypeEngine

from {{ cookiecutter.project_slug }}.database import Base, Database, Entity, Fault, fault_of
from {{ cookiecutter.project_slug }}.database.base import AwareDateTime, AwareRange, Number

NOON = datetime(2026, 11, 22, 12)
LARGE = ["1e131072", "-1e131072", "1e-16384"]


class Person(Entity):
    __tablename__ = "test_people"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}

    kind: Mapped[str]
    name: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class Employee(Person):
    __mapper_args__ = {"polymorphic_identity": "employee"}


@pytest.fixture
async def people(session: AsyncSession) -> AsyncSession:
    """A session with the table of Person, rolled back after the test."""
    await session.execute(sa.schema.CreateTable(Base.metadata.tables["test_people"]))
    return session


async def test_what_the_server_computes_is_there_after_the_flush(people: AsyncSession) -> None:
    """In subclasses with __mapper_args__ of their own, too."""
    employee = Employee(name="Ann")
    people.add(employee)
    await people.flush()
    assert employee.created_at == employee.updated_at
    employee.name = "Anna"
    await people.flush()
    assert employee.updated_at >= employee.created_at  # no MissingGreenlet


async def test_a_change_within_a_dictionary_is_stored(people: AsyncSession) -> None:
    person = Person(name="Ann", data={"a": 1})
    people.add(person)
    await people.flush()
    person.data["a"] = 2
    await people.flush()
    await people.refresh(person)
    assert person.data == {"a": 2}


@pytest.mark.parametrize(
    "kind",
    [
        sa.DateTime(),
        sa.DateTime(timezone=True),
        sa.TIMESTAMP(timezone=True),
        ARRAY(sa.DateTime(timezone=True)),
        pg.TSRANGE(),
        pg.TSTZRANGE(),
        pg.TSTZMULTIRANGE(),
        ARRAY(pg.TSTZRANGE),
        pg.DOMAIN("past", sa.DateTime(timezone=True)),
    ],
    ids=repr,
)
def test_a_column_that_would_take_a_naive_datetime_is_refused(kind: TypeEngine[Any]) -> None:
    columns = {
        "__tablename__": "test_naive",
        "id": mapped_column(sa.Integer, primary_key=True),
        "at": mapped_column(kind),
    }

    class Separate(Base):
        __abstract__ = True
        metadata = sa.MetaData()

    with pytest.raises(TypeError, match="AwareDateTime"):
        type(f"Naive{id(kind)}", (Separate,), columns)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (AwareDateTime(), NOON),
        (ARRAY(AwareDateTime), [NOON]),
        (AwareRange(), pg.Range(NOON, None)),
        (ARRAY(AwareRange), [pg.Range(None, NOON)]),
    ],
    ids=repr,
)
async def test_a_datetime_has_a_time_zone(
    session: AsyncSession,
    database: Database,
    kind: TypeEngine[Any],
    value: Any,
) -> None:
    statement = select(bindparam("time", type_=kind).label("time"))
    aware = NOON.replace(tzinfo=UTC)
    given: dict[Any, Any] = {
        AwareDateTime: aware,
        AwareRange: pg.Range(aware, None, bounds="[)"),
    }
    item = getattr(kind, "item_type", None)
    expected = [given[type(item)]] if item else given[type(kind)]
    result = await session.execute(statement, {"time": expected})
    assert result.scalar_one() == expected
    for _ in range(3):
        assert await database.fetch(statement, {"time": expected}) == [{"time": expected}]
        with pytest.raises(StatementError, match="naive datetime") as failure:
            await database.fetch(statement, {"time": value})
        assert fault_of(failure.value) is Fault.INVALID


@pytest.mark.parametrize("number", ["1e131071", "-1e-16383", "0", "NaN", "12.30"])
async def test_a_number_comes_back_as_it_was(session: AsyncSession, number: str) -> None:
    statement = select(bindparam("number", type_=Number))
    result = await session.execute(statement, {"number": Decimal(number)})
    stored = result.scalar_one()
    assert stored == Decimal(number) or str(stored) == number == "NaN"


@pytest.mark.parametrize("kind", [Number(), Number(12, 2), ARRAY(Number)], ids=repr)
@pytest.mark.parametrize("number", LARGE)
async def test_a_number_that_does_not_fit_is_refused(
    session: AsyncSession,
    kind: TypeEngine[Any],
    number: str,
) -> None:
    value = [Decimal(number)] if isinstance(kind, ARRAY) else Decimal(number)
    with pytest.raises(StatementError, match="more digits"):
        await session.execute(select(bindparam("number", value, type_=kind)))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (AwareDateTime, datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
        (AwareDateTime, datetime.min.replace(tzinfo=timezone(timedelta(hours=12)))),
        (sa.Enum("small", "large", name="size", validate_strings=True), "huge"),
        (sa.Integer, 2**31),
        (BigInteger, 2**63),
        (sa.Text, "a\0b"),
        (sa.Text, "a\ud800b"),
    ],
)
async def test_a_value_that_its_type_refuses_is_invalid(
    database: Database,
    kind: type[TypeEngine[Any]],
    value: object,
) -> None:
    with pytest.raises(StatementError) as failure:
        async with database.read_only() as session:
            await session.execute(select(bindparam("value", type_=kind)), {"value": value})
    assert fault_of(failure.value) is Fault.INVALID
    async with database.read_only(snapshot=True) as session:  # the connection is as good as new
        await session.execute(text("SELECT 1"))


async def test_an_array_is_one_parameter_of_any_size(session: AsyncSession) -> None:
    keys = sa.literal(list(range(70_000)), ARRAY(BigInteger))
    assert await session.scalar(select(sa.func.cardinality(keys))) == 70_000
{% endcall %}
