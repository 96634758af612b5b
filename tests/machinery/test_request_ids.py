"""A request's id is in its answer, in its problem, and in the log lines about it."""

import logging
import re

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
{% if cookiecutter.engine == "async" %}
from httpx2 import AsyncClient
{% endif %}

from {{ cookiecutter.project_slug }}.logs import add_request_id, request_id

from .api.clients import client_for

MADE = r"[0-9a-f]{32}"

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}

async def test_a_given_id_is_kept(client: AsyncClient) -> None:
    answer = await client.get("/nothing", headers={"X-Request-ID": "Root=1-ab/c+d_e.f"})
    assert answer.headers["X-Request-ID"] == "Root=1-ab/c+d_e.f"
    assert answer.json()["request_id"] == "Root=1-ab/c+d_e.f"


@pytest.mark.parametrize("given", [b"", b"a b", b"a\tb", b'a"b', b"\xc3\xa9", b"\xb2", b"a" * 129])
async def test_any_other_id_is_replaced(client: AsyncClient, given: bytes) -> None:
    answer = await client.get("/livez", headers={b"X-Request-ID": given})
    assert answer.status_code == 200
    assert re.fullmatch(MADE, answer.headers["X-Request-ID"])


async def test_each_request_has_its_own_id(client: AsyncClient) -> None:
    first = await client.get("/livez")
    second = await client.get("/livez")
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


async def test_a_bug_is_answered_and_logged_with_the_id(
    app: FastAPI,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @app.get("/bug")
    async def bug() -> None:
        logging.getLogger("shop").warning("about to fail")
        raise RuntimeError

    caplog.handler.addFilter(add_request_id)
    async with client_for(app, raise_errors=False) as client:
        answer = await client.get("/bug", headers={"X-Request-ID": "abc-1"})
    caplog.handler.removeFilter(add_request_id)
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (500, "abc-1")
    assert answer.json()["request_id"] == "abc-1"
    [record] = [record for record in caplog.records if record.name == "shop"]
    assert record.__dict__["request_id"] == "abc-1"
{% endcall %}


def test_a_websocket_has_an_id(app: FastAPI) -> None:
    @app.websocket("/id")
    async def tell(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(str(request_id.get()))
        await socket.close()

    with TestClient(app) as client, client.websocket_connect("/id") as socket:
        told = socket.receive_text()
        assert re.fullmatch(MADE, told)
        assert (b"x-request-id", told.encode()) in (socket.extra_headers or [])
