"""The dependencies serve HTTP requests and WebSockets."""

{% if cookiecutter.engine == "sync" %}
import asyncio

{% endif %}
import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from sqlalchemy import text

from {{ cookiecutter.project_slug }}.api.app import create_app
from {{ cookiecutter.project_slug }}.api.dependencies import DatabaseDep, SettingsDep
from {{ cookiecutter.project_slug }}.application_settings import ApplicationSettings

from .api.clients import client_for


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def test_a_handler_gets_the_settings(
    app: FastAPI,
    application_settings: ApplicationSettings,
) -> None:
    @app.get("/settings")
    async def are_the_given_ones(settings: SettingsDep) -> bool:
        return settings is application_settings

    async with client_for(app) as client:
        answer = await client.get("/settings")
    assert answer.json() is True
{% endcall %}


def test_a_websocket_gets_the_database(
    database_url: str,
    application_settings: ApplicationSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    app = create_app(settings=application_settings)

{% call for_engine() %}
    async def current_database(database: DatabaseDep) -> str:
        async with database.read_only() as session:
            name = await session.scalar(text("SELECT current_database()"))
            return str(name)
{% endcall %}

    @app.websocket("/names")
    async def names(socket: WebSocket, database: DatabaseDep) -> None:
        await socket.accept()
{% if cookiecutter.engine == "async" %}
        await socket.send_text(await current_database(database))
{% else %}
        # A WebSocket's handler runs in the event loop, and a unit of work in a thread.
        await socket.send_text(await asyncio.to_thread(current_database, database))
{% endif %}
        await socket.close()

    with TestClient(app) as client, client.websocket_connect("/names") as socket:
        assert socket.receive_text() in database_url
