"""The probes tell the truth, and the application owns the Database that it makes."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import pytest
from httpx2 import AsyncClient
from sqlalchemy import text

from {{ cookiecutter.project_slug }}.api.app import create_app
from {{ cookiecutter.project_slug }}.application_settings import ApplicationSettings
from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.settings import Settings, SettingsError

from .api.clients import client_for

NOWHERE = "postgresql://postgres:secret@127.0.0.1:1/postgres"


async def test_a_ready_service_names_the_revision(client: AsyncClient) -> None:
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json().keys() == {"status", "revision"}


async def test_without_the_database_the_process_lives_unready(
    application_settings: ApplicationSettings,
) -> None:
    async with Database(Settings(database_url=NOWHERE)) as database:
        async with client_for(create_app(database, application_settings)) as client:
            alive = await client.get("/livez")
            assert alive.status_code == 200
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.headers["Retry-After"]) == (503, "1")
            assert "secret" not in ready.text


async def test_a_busy_pool_is_no_reason_to_be_unready(
    database_url: str,
    application_settings: ApplicationSettings,
) -> None:
    settings = Settings(database_url=database_url, database_pool_size=1)
    async with Database(settings) as database, database.transaction() as holder:
        await holder.execute(text("SELECT 1"))
        async with client_for(create_app(database, application_settings)) as client:
            ready = await client.get("/readyz")
    assert ready.status_code == 200


async def test_the_application_makes_its_own_database(
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
    application_settings: ApplicationSettings,
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    async with client_for(create_app(settings=application_settings)) as client:
        ready = await client.get("/readyz")
    assert ready.status_code == 200


async def test_wrong_settings_keep_the_application_from_starting(
    application_settings: ApplicationSettings,
) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        async with client_for(create_app(settings=application_settings)):
            pass
{% endcall %}
