"""The application: its routes, its errors, and what lives as long as it does."""

import gc
from collections.abc import AsyncIterator
{% if cookiecutter.engine == "async" %}
from contextlib import AsyncExitStack, asynccontextmanager
{% else %}
from contextlib import ExitStack, asynccontextmanager
{% endif %}
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from ..application_settings import ApplicationSettings
from ..database import Database
from ..logs import set_up_logs
from ..settings import Settings
{% if cookiecutter.example_models %}
from . import errors, health, posts, users
{% else %}
from . import errors, health
{% endif %}
from .request_ids import RequestIdMiddleware


class Service(FastAPI):
    """FastAPI with ids of requests, and the problems of every route in the OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        return errors.describe_problems(super().openapi())

    def build_middleware_stack(self) -> ASGIApp:
        # Outside of the middleware that answers 500, so that this answer has the id, too.
        return RequestIdMiddleware(super().build_middleware_stack())


def tune_garbage_collector() -> None:
    """Search less often for garbage, and only among objects that are made from now on."""
    # Objects loaded at start-up are never freed: keep the collector off them.
    gc.collect()
    gc.freeze()
    # The default searches anew every 700 objects, which is every few requests.
    gc.set_threshold(50_000, 50, 50)


def create_app(
    database: Database | None = None,
    settings: ApplicationSettings | None = None,
) -> FastAPI:
    """Return the application on the given Database and settings, or on its own.

    Its own are made from the environment when the application starts. Its Database is disposed of
    when it stops. An application with its own Database also sets up the logs of its process.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if database is None:
            set_up_logs()
        # What lives as long as the application is entered here, and closed in the reverse order.
{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
        async with AsyncExitStack() as stack:
            if settings is None:
                app.state.settings = ApplicationSettings()
            if database is None:
                app.state.database = await stack.enter_async_context(Database(Settings()))
                tune_garbage_collector()
            yield
{% endcall %}

    app = Service(title="{{ cookiecutter.project_slug }}", lifespan=lifespan)
    app.state.database = database
    app.state.settings = settings
    errors.add_handlers(app)
{% if cookiecutter.example_models %}
    app.include_router(users.router)
    app.include_router(posts.router)
{% endif %}
    app.include_router(health.router)  # last, because routes are tried in this order
    return app


app = create_app()
