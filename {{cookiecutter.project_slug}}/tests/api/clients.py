"""HTTP clients of an application, without a network."""

{% if cookiecutter.engine == "async" %}
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient


@asynccontextmanager
async def client_for(app: FastAPI, *, raise_errors: bool = True) -> AsyncIterator[AsyncClient]:
    """A client of a running application; an unhandled error is raised, or else answered by 500."""
    transport = ASGITransport(app, raise_app_exceptions=raise_errors)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client
{% else %}
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI
from fastapi.testclient import TestClient


@contextmanager
def client_for(app: FastAPI, *, raise_errors: bool = True) -> Iterator[TestClient]:
    """A client of a running application; an unhandled error is raised, or else answered by 500."""
    with TestClient(app, raise_server_exceptions=raise_errors) as client:
        yield client
{% endif %}
