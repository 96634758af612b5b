"""Whether a read can use the replica: while nobody knows, one read tries and the others do not."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import asyncio
import logging
import threading
import time

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession

from .faults import Fault, fault_of

logger = logging.getLogger(__name__)

# Seconds for which a connection, or the whole replica, is taken to work because it just did.
TRUST = 0.1
# Seconds for which others wait for the read that tries, counted from its start.
PATIENCE = 0.5


class ReplicaGate:
    """Lets reads through to the replica, except for `pause` seconds after it has failed."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._trying = threading.Lock()
        self._tried_at = 0.0
        self._next_try = 0.0
        self._trusted_until = 0.0

    async def connects(self, session: AsyncSession) -> bool:
        """Connect the session to the replica; return whether it is to be used."""
        while time.monotonic() >= self._trusted_until:
            if time.monotonic() < self._next_try:
                return False
            if self._trying.acquire(blocking=False):
                try:
                    self._tried_at = time.monotonic()
                    return await self._connect(session)
                finally:
                    self._trying.release()
            if time.monotonic() > self._tried_at + PATIENCE:
                return False
            await asyncio.sleep(0.01)
        return await self._connect(session)

    async def _connect(self, session: AsyncSession) -> bool:
        try:
            await session.connection()
        except (DBAPIError, PoolTimeoutError) as error:
            if fault_of(error) is not Fault.UNAVAILABLE:
                raise
            logger.warning("the replica is unavailable, reading from the primary: %s", error)
            self._trusted_until = 0.0
            self._next_try = time.monotonic() + self._pause
            return False
        self._trusted_until = time.monotonic() + TRUST
        return True
{% endcall %}
