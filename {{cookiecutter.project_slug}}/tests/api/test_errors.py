"""Whatever goes wrong is answered as problem+json, which tells nothing of the database."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient
from sqlalchemy import text

from {{ cookiecutter.project_slug }}.api.app import create_app
from {{ cookiecutter.project_slug }}.api.dependencies import DatabaseDep
from {{ cookiecutter.project_slug }}.application_settings import ApplicationSettings
from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.settings import Settings

from .clients import client_for


@pytest.fixture
async def faulty(
    database_url: str,
    application_settings: ApplicationSettings,
) -> AsyncIterator[AsyncClient]:
    """A client of an application that commits for real, is impatient, and answers its bugs."""
    settings = Settings(database_url=database_url, database_statement_timeout=0.2)
    async with Database(settings) as database:
        app = create_app(database, application_settings)

        @app.post("/execute")
        async def execute(database: DatabaseDep, sql: str) -> None:
            async with database.transaction() as session:
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


async def test_errors_of_the_framework_are_problems(client: AsyncClient) -> None:
    unknown = await client.get("/nothing")
    not_allowed = await client.delete("/livez")
    for answer, status in ((unknown, 404), (not_allowed, 405)):
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_every_route_describes_its_problems(client: AsyncClient) -> None:
    answer = await client.get("/openapi.json")
    document = answer.json()
    assert "Problem" in document["components"]["schemas"]
    missing: list[str] = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "probes" in operation.get("tags", []):
                continue
            rules = {"422": "each route", "503": "each route", "504": "each route"}
            if "requestBody" in operation:
                rules["400"] = "a route with a body"
            if method in {"post", "put", "patch", "delete"}:
                rules["409"] = "a route that writes"
            missing += [
                f"{method.upper()} {path} does not describe {status}, as {rule} must"
                for status, rule in rules.items()
                if status not in operation["responses"]
            ]
    assert not missing, "\n".join(missing)


async def test_a_probe_describes_its_own_answers(client: AsyncClient) -> None:
    answer = await client.get("/openapi.json")
    paths = answer.json()["paths"]
    assert list(paths["/livez"]["get"]["responses"]) == ["200"]
    ready = paths["/readyz"]["get"]["responses"]
    assert list(ready) == ["200", "503"]
    assert list(ready["503"]["content"]) == ["application/problem+json"]
{% endcall %}
