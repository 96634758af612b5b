"""The dependencies of handlers."""

from typing import Annotated, cast

from fastapi import Depends, Request

from ..database import Database


async def get_database(request: Request) -> Database:
    """Return the application's Database. A handler opens its own unit of work on it."""
    return cast(Database, request.app.state.database)


DatabaseDep = Annotated[Database, Depends(get_database)]
