"""The dependencies of handlers."""

from typing import Annotated, cast

from fastapi import Depends
from fastapi.requests import HTTPConnection

from ..application_settings import ApplicationSettings
from ..database import Database


async def get_database(connection: HTTPConnection) -> Database:
    """Return the application's Database. A handler opens its own unit of work on it."""
    return cast(Database, connection.app.state.database)


async def get_settings(connection: HTTPConnection) -> ApplicationSettings:
    """Return the application's own settings."""
    return cast(ApplicationSettings, connection.app.state.settings)


DatabaseDep = Annotated[Database, Depends(get_database)]
SettingsDep = Annotated[ApplicationSettings, Depends(get_settings)]
