"""Whether the database answers, at which revision it is, and how full the pools are."""

{% if cookiecutter.engine == "async" %}
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import Pool, QueuePool, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

Probe = Callable[[], Awaitable[str | None]]
{% else %}
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Pool, QueuePool, text
from sqlalchemy.exc import SQLAlchemyError

Probe = Callable[[], str | None]
{% endif %}

# Seconds after which a probe has failed.
PROBE_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """The result of a probe: the revision of the schema, or why the database cannot be used."""

    revision: str | None = None
    error: SQLAlchemyError | None = None


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The connections of one pool; `limit` is how many it may open."""

    size: int
    checked_in: int
    checked_out: int
    overflow: int
    limit: int


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def read_revision(connection: AsyncConnection) -> str | None:
    """Return the schema's revision; None if there is none, or no right to read it."""
    readable = text("SELECT has_table_privilege(to_regclass('alembic_version')::oid, 'SELECT')")
    if not await connection.scalar(readable):
        return None
    revisions = await connection.scalars(text("SELECT version_num FROM alembic_version"))
    return ", ".join(sorted(revisions)) or None


class ReadinessProbe:
    """Ask the database; callers that arrive together share one answer."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._lock = asyncio.Lock()
        self._answers = 0
        self._answer = Readiness()

    async def check(self) -> Readiness:
        """Return the schema's revision, or the SQLAlchemyError instead of raising it."""
        seen = self._answers
        async with self._lock:
            if self._answers == seen:
                try:
                    self._answer = Readiness(revision=await self._probe())
                except SQLAlchemyError as error:
                    self._answer = Readiness(error=error)
                self._answers += 1
            return self._answer
{% endcall %}


def pool_status(pool: Pool, max_overflow: int) -> PoolStatus:
    """Return how full the pool is."""
    assert isinstance(pool, QueuePool)
    return PoolStatus(
        size=pool.size(),
        checked_in=pool.checkedin(),
        checked_out=pool.checkedout(),
        # SQLAlchemy counts from minus the size until the pool is full.
        overflow=max(0, pool.overflow()),
        limit=pool.size() + max_overflow,
    )
