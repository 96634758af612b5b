"""Probes: whether the process lives, and whether it can serve."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ..database.health import PROBE_TIMEOUT
from .dependencies import DatabaseDep
from .errors import RETRY_AFTER, problem, problems

router = APIRouter(tags=["health"])


class Live(BaseModel):
    status: str = "ok"


class Ready(BaseModel):
    status: str = "ok"
    revision: str | None


@router.get("/livez")
async def livez() -> Live:
    """Whether the process answers; the database is not asked: a restart would not mend it."""
    return Live()


@router.get("/readyz", response_model=Ready, responses=problems(503))
async def readyz(database: DatabaseDep) -> Ready | JSONResponse:
    """Whether the database answers, on a connection of its own: busy pools do not matter."""
    unready = problem(503, "The database does not answer.", headers=RETRY_AFTER)
    try:
{% if cookiecutter.engine == "async" %}
        # Shielded, since giving up a connection to a silent server takes time as well.
        check = asyncio.shield(database.readiness.check())
{% else %}
        # Not in a thread of the handlers, which may all be waiting for a connection.
        check = asyncio.to_thread(database.readiness.check)
{% endif %}
        readiness = await asyncio.wait_for(check, PROBE_TIMEOUT)
    except TimeoutError:
        return unready
    return unready if readiness.error else Ready(revision=readiness.revision)
