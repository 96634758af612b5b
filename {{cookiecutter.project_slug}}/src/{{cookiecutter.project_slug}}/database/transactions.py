"""Transactions: isolation levels, which failures to repeat and when, advisory locks."""

import hashlib
import random
from collections.abc import Iterator
from typing import Literal

from sqlalchemy import func, select
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import AsyncSession
{% else %}
from sqlalchemy.orm import Session
{% endif %}

from .faults import sqlstate_of

IsolationLevel = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]

# Serialization failure and deadlock: the transaction had no effect, and may succeed when repeated.
RETRYABLE = {"40001", "40P01"}
FIRST_WAIT = 0.02
LONGEST_WAIT = 1.0


def is_retryable(error: BaseException) -> bool:
    """Whether to repeat the whole unit of work, in a new session."""
    return sqlstate_of(error) in RETRYABLE


def waits(attempts: int) -> Iterator[float]:
    """Seconds to wait before each further attempt: full jitter under a bound that doubles.

    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """
    for attempt in range(attempts - 1):
        yield random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**attempt))


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def lock(session: AsyncSession, name: str) -> None:
    """Waits for the advisory lock of that name, which the end of the transaction releases.

    Waits at most DATABASE_LOCK_TIMEOUT. Needs transaction(): in read_only() a statement is a
    transaction of its own.
    """
    await session.execute(select(func.pg_advisory_xact_lock(lock_key(name))))


async def try_lock(session: AsyncSession, name: str) -> bool:
    """Takes the advisory lock of that name if it is free, until the end of the transaction."""
    return bool(await session.scalar(select(func.pg_try_advisory_xact_lock(lock_key(name)))))
{% endcall %}


def lock_key(name: str) -> int:
    """The lock's number: 64 bits of a hash, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
