"""Transactions: isolation levels, retries, advisory locks."""

import hashlib
import random
from collections.abc import Iterator
from typing import Literal

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from . import asyncpg_driver as driver
from .faults import sqlstate_of

IsolationLevel = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]

# Serialization failure and deadlock: the transaction had no effect, and a retry may succeed.
RETRYABLE = {"40001", "40P01"}
# Seconds.
FIRST_DELAY = 0.02
LONGEST_DELAY = 1.0


def is_retryable(error: BaseException) -> bool:
    """Whether to retry the whole unit of work, in a new session."""
    if sqlstate_of(error) in RETRYABLE:
        return True
    return isinstance(error, DBAPIError) and driver.is_outdated_plan(error.orig)


def retry_delays(attempts: int) -> Iterator[float]:
    """Return the seconds to wait before each further attempt: full jitter, with a doubled bound.

    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """
    for attempt in range(attempts - 1):
        yield random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2**attempt))


async def lock(session: AsyncSession, name: str) -> None:
    """Wait for the advisory lock of that name; the end of the transaction releases it.

    Raises DBAPIError (55P03) after DATABASE_LOCK_TIMEOUT seconds. Use it in transaction(): in
    read_only() each statement is a transaction of its own.
    """
    await session.execute(select(func.pg_advisory_xact_lock(lock_key(name))))


async def try_lock(session: AsyncSession, name: str) -> bool:
    """Take the advisory lock of that name if it is free, until the end of the transaction."""
    taken = await session.scalar(select(func.pg_try_advisory_xact_lock(lock_key(name))))
    return bool(taken)


def lock_key(name: str) -> int:
    """Return the number of the lock: 64 bits of a hash, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
{% endcall %}
