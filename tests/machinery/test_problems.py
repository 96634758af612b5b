"""What the log and an answer say of a failure, and what they keep to themselves."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from collections.abc import AsyncIterator
from functools import cache

import pytest
from httpx2 import AsyncClient
from sqlalchemy import MetaData, UniqueConstraint, make_url, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateTable

from {{ cookiecutter.project_slug }}.api import errors
from {{ cookiecutter.project_slug }}.api.app import create_app
from {{ cookiecutter.project_slug }}.api.dependencies import DatabaseDep
from {{ cookiecutter.project_slug }}.application_settings import ApplicationSettings
from {{ cookiecutter.project_slug }}.database import Base, Database, faults
from {{ cookiecutter.project_slug }}.settings import Settings

from .api.clients import client_for

DIE_AT_COMMIT = (
    "CREATE TABLE deaths (id int)",
    "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'",
    "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON deaths"
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()",
)
DESK = "a_desk_for_which_an_employee_of_the_company_waits"
SEATS = "CREATE TABLE seats (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)"


class Model(DeclarativeBase):
    """The base of this module's models, which no migration knows."""

    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Desk(Model):
    """Its constraint's name is longer than the 63 characters that PostgreSQL keeps."""

    __tablename__ = DESK
    __table_args__ = (
        UniqueConstraint("number_on_the_door", info={"meaning": "This desk is taken."}),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    number_on_the_door: Mapped[int]


@pytest.fixture
async def faulty(
    fresh_url: str,
    application_settings: ApplicationSettings,
) -> AsyncIterator[AsyncClient]:
    """A client of an application that commits for real, is impatient, and answers its bugs."""
    settings = Settings(database_url=fresh_url, database_statement_timeout=0.2)
    async with Database(settings) as database:
        app = create_app(database, application_settings)

        @app.post("/execute")
        async def execute(database: DatabaseDep, sql: str) -> None:
            async with database.transaction() as session:
                await session.execute(text(sql))

        @app.post("/execute-while-reading")
        async def execute_while_reading(database: DatabaseDep, sql: str) -> None:
            async with database.read_only() as session:
                await session.execute(text(sql))

        async with client_for(app, raise_errors=False) as client:
            yield client


async def test_an_unknown_outcome_is_not_to_be_tried_again(faulty: AsyncClient) -> None:
    for sql in DIE_AT_COMMIT:
        created = await faulty.post("/execute", params={"sql": sql})
        assert created.status_code == 200
    answer = await faulty.post("/execute", params={"sql": "INSERT INTO deaths VALUES (1)"})
    assert answer.status_code == 503
    assert "Retry-After" not in answer.headers
    assert answer.json()["detail"] == "This may have been done or not. Look before you try again."


async def test_the_cause_of_a_503_is_logged_once_at_a_time(
    faulty: AsyncClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "_last_logged", {})
    sql = "DO $$ BEGIN RAISE 'no space' USING ERRCODE = '53100', DETAIL = 'hunter2'; END $$"
    for _ in range(3):
        answer = await faulty.post("/execute", params={"sql": sql})
        assert answer.status_code == 503
    assert caplog.text.count("SQLSTATE 53100: no space") == 1
    assert "hunter2" not in caplog.text


async def test_why_the_service_is_not_ready_is_logged(
    database_url: str,
    application_settings: ApplicationSettings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "_last_logged", {})
    url = f"{database_url}&options=-c%20nonsense%3D1"
    async with Database(Settings(database_url=url)) as database:
        async with client_for(create_app(database, application_settings)) as client:
            answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "nonsense" in caplog.text


async def test_a_constraint_with_a_long_name_has_its_meaning(
    faulty: AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errors, "Base", Model)
    monkeypatch.setattr(errors, "constraint_info", cache(errors.constraint_info.__wrapped__))
    dialect = make_url("postgresql://").get_dialect()()
    create = CreateTable(Model.metadata.tables[DESK]).compile(dialect=dialect)
    await faulty.post("/execute", params={"sql": str(create)})
    insert = {"sql": f"INSERT INTO {DESK} VALUES (1, 7), (2, 7)"}
    answer = await faulty.post("/execute", params=insert)
    assert (answer.status_code, answer.json()["detail"]) == (409, "This desk is taken.")


async def test_a_write_while_reading_is_a_bug(faulty: AsyncClient) -> None:
    answer = await faulty.post("/execute-while-reading", params={"sql": SEATS})
    assert answer.status_code == 500
{% endcall %}
