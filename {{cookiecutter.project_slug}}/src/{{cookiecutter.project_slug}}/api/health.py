"""Probes: whether the process runs, and whether it can serve requests."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ..database.faults import log_cause
from ..database.health import PROBE_TIMEOUT
from .dependencies import DatabaseDep
from .errors import RETRY_AFTER, problem, problems

router = APIRouter(tags=["probes"])


class Live(BaseModel):
    status: str = "ok"


class Ready(BaseModel):
    status: str = "ok"
    revision: str | None


@router.get("/livez")
async def livez() -> Live:
    """Whether the process answers. It does not ask the database: a restart would not repair it."""
    return Live()


@router.get("/readyz", response_model=Ready, responses=problems(503))
async def readyz(database: DatabaseDep) -> Ready | JSONResponse:
    """Whether the database answers, on a connection of its own, so busy pools do not matter."""
    unready = problem(503, "The database does not answer.", headers=RETRY_AFTER)
    try:
{% if cookiecutter.engine == "async" %}
        # Shielded, because closing a connection to a silent server takes time as well.
        check = asyncio.shield(database.readiness.check())
{% else %}
        # Not in a thread of the handlers: all of them may be waiting for a connection.
        check = asyncio.to_thread(database.readiness.check)
{% endif %}
        readiness = await asyncio.wait_for(check, PROBE_TIMEOUT)
    except TimeoutError:
        log_cause(TimeoutError(f"no answer within {PROBE_TIMEOUT} s"))
        return unready
    if readiness.error:
        log_cause(readiness.error)
        return unready
    return Ready(revision=readiness.revision)
