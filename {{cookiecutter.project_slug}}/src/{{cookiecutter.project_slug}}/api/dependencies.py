"""The dependencies of handlers."""

from typing import Annotated, cast

from fastapi import Depends
from fastapi.requests import HTTPConnection

from ..database import Database


async def get_database(connection: HTTPConnection) -> Database:
    """Return the application's Database. A handler opens its own unit of work on it."""
    return cast(Database, connection.app.state.database)


DatabaseDep = Annotated[Database, Depends(get_database)]
