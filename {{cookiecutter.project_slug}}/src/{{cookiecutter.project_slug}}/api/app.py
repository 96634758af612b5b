"""The application: its routes, its errors, and the Database that lives as long as it does."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from ..database import Database
from ..settings import Settings
from . import errors, health{{ ", posts, users" if cookiecutter.example_models }}


class Service(FastAPI):
    """FastAPI, with the schema of its problems in the OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = errors.Problem.model_json_schema()
        return document


def create_app(database: Database | None = None) -> FastAPI:
    """The application on the given Database, or on one that it makes of Settings() and owns."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if database is not None:
            yield
            return
{% if cookiecutter.engine == "async" %}
        async with Database(Settings()) as own_database:
{% else %}
        with Database(Settings()) as own_database:
{% endif %}
            app.state.database = own_database
            # What is loaded by now lives as long as the process: not to be searched for garbage.
            gc.collect()
            gc.freeze()
            # The default searches anew every 700 objects, which is every few requests.
            gc.set_threshold(50_000, 50, 50)
            yield

    app = Service(title="{{ cookiecutter.project_slug }}", lifespan=lifespan)
    app.state.database = database
    errors.add_handlers(app)
    app.include_router(health.router)
{% if cookiecutter.example_models %}
    app.include_router(users.router)
    app.include_router(posts.router)
{% endif %}
    return app


app = create_app()
