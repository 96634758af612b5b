"""The probes tell the truth, and the application owns the Database that it makes."""

import pytest
{% if cookiecutter.engine == "async" %}
from httpx2 import ASGITransport, AsyncClient
{% else %}
from fastapi.testclient import TestClient
{% endif %}
from pydantic import ValidationError
from sqlalchemy import text

from {{ cookiecutter.project_slug }}.api.app import create_app
from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.settings import Settings

NOWHERE = "postgresql://postgres:secret@127.0.0.1:1/postgres"


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def test_a_ready_service_names_the_revision(client: AsyncClient) -> None:
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json().keys() == {"status", "revision"}
{% endcall %}


{% if cookiecutter.engine == "async" %}
async def test_without_the_database_the_process_lives_unready() -> None:
    async with Database(Settings(database_url=NOWHERE)) as database:
        transport = ASGITransport(create_app(database))
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/livez")).status_code == 200
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert "secret" not in answer.text


async def test_a_busy_pool_is_no_reason_to_be_unready(database_url: str) -> None:
    settings = Settings(database_url=database_url, database_pool_size=1)
    async with Database(settings) as database, database.transaction() as holder:
        await holder.execute(text("SELECT 1"))
        transport = ASGITransport(create_app(database))
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/readyz")).status_code == 200


async def test_the_application_makes_its_own_database(
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    app = create_app()
    transport = ASGITransport(app)
    async with app.router.lifespan_context(app):
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/readyz")).status_code == 200


async def test_wrong_settings_keep_the_application_from_starting() -> None:
    app = create_app()
    with pytest.raises(ValidationError, match="database_url"):
        async with app.router.lifespan_context(app):
            pass
{% else %}
def test_without_the_database_the_process_lives_unready() -> None:
    with Database(Settings(database_url=NOWHERE)) as database:
        with TestClient(create_app(database)) as client:
            assert client.get("/livez").status_code == 200
            answer = client.get("/readyz")
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert "secret" not in answer.text


def test_a_busy_pool_is_no_reason_to_be_unready(database_url: str) -> None:
    settings = Settings(database_url=database_url, database_pool_size=1)
    with Database(settings) as database, database.transaction() as holder:
        holder.execute(text("SELECT 1"))
        with TestClient(create_app(database)) as client:
            assert client.get("/readyz").status_code == 200


def test_the_application_makes_its_own_database(
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with TestClient(create_app()) as client:
        assert client.get("/readyz").status_code == 200


def test_wrong_settings_keep_the_application_from_starting() -> None:
    with pytest.raises(ValidationError, match="database_url"), TestClient(create_app()):
        pass
{% endif %}
