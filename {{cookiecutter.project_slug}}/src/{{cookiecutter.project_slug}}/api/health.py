"""Probes: whether the process runs, and whether it can serve requests."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from ..database.database import PING_TIMEOUT
from ..database.faults import log_cause
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
    try:
{% if cookiecutter.engine == "async" %}
        # Shielded, because closing a connection to a silent server takes time as well.
        question = asyncio.shield(database.ping())
{% else %}
        # Not in a thread of the handlers: all of them may be waiting for a connection.
        question = asyncio.to_thread(database.ping)
{% endif %}
        return Ready(revision=await asyncio.wait_for(question, PING_TIMEOUT))
    except (SQLAlchemyError, TimeoutError) as error:
        log_cause(error)
        return problem(503, "The database does not answer.", headers=RETRY_AFTER)
