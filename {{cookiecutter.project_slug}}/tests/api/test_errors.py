"""Whatever goes wrong is answered as problem+json, which tells nothing of the database."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient
from sqlalchemy import text

from {{ cookiecutter.project_slug }}.api.app import create_app
from {{ cookiecutter.project_slug }}.api.dependencies import DatabaseDep
from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.settings import Settings

from .clients import client_for

SEATS = "CREATE TABLE seats (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)"


@pytest.fixture
async def faulty(fresh_url: str) -> AsyncIterator[AsyncClient]:
    """A client of an application that commits for real, is impatient, and answers its bugs."""
    settings = Settings(database_url=fresh_url, database_statement_timeout=0.2)
    async with Database(settings) as database:
        app = create_app(database)

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


@pytest.mark.parametrize(
    ("sql", "status"),
    [
        pytest.param("SELECT pg_sleep(5)", 504, id="timeout"),
        pytest.param("SELECT pg_terminate_backend(pg_backend_pid())", 503, id="lost-connection"),
        pytest.param("SELECT 1 / 0", 500, id="bug"),
    ],
)
async def test_a_fault_has_its_status(faulty: AsyncClient, sql: str, status: int) -> None:
    answer = await faulty.post("/execute", params={"sql": sql})
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert "SELECT" not in answer.text


async def test_a_success_is_answered_after_the_commit(faulty: AsyncClient) -> None:
    insert = {"sql": "INSERT INTO seats VALUES (1)"}
    created = await faulty.post("/execute", params={"sql": SEATS})
    first = await faulty.post("/execute", params=insert)
    second = await faulty.post("/execute", params=insert)
    # The COMMIT checks the constraint.
    assert [answer.status_code for answer in (created, first, second)] == [200, 200, 409]


async def test_a_write_while_reading_is_a_bug(faulty: AsyncClient) -> None:
    answer = await faulty.post("/execute-while-reading", params={"sql": SEATS})
    assert answer.status_code == 500


async def test_errors_of_the_framework_are_problems(client: AsyncClient) -> None:
    unknown = await client.get("/nothing")
    not_allowed = await client.delete("/livez")
    for answer, status in ((unknown, 404), (not_allowed, 405)):
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_the_document_describes_the_problems(client: AsyncClient) -> None:
    answer = await client.get("/openapi.json")
    document = answer.json()
    assert "Problem" in document["components"]["schemas"]
    unready = document["paths"]["/readyz"]["get"]["responses"]["503"]
    assert list(unready["content"]) == ["application/problem+json"]
{% endcall %}
