"""A way to the server: an engine, its session factory, turns at its pool, and its fetch()."""

{% if cookiecutter.engine == "async" %}
import asyncio
import os
import time
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
{% else %}
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
{% endif %}
from typing import Any

from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import async_sessionmaker
{% else %}
from sqlalchemy.orm import sessionmaker
{% endif %}
from sqlalchemy.pool import Pool, PoolProxiedConnection

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from ..settings import Settings
from . import asyncpg_driver as driver
from .engine import create_database_engine
from .faults import as_sqlalchemy_error, is_useless, unknown_outcome
from .statements import Plans, Row, Statement, idle_connection, log_if_slow


{% if cookiecutter.engine == "async" %}
class Turns:
    """Turns in the order of arrival, of one event loop."""

    def __init__(self, number: int, patience: float) -> None:
        self._patience = patience
        self._free = asyncio.Semaphore(number)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def take(self) -> bool:
        """Wait for a turn; return whether it came within `patience` seconds."""
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise RuntimeError("this Database belongs to another event loop: create one here")
        if not self._free.locked():
            return await self._free.acquire()
        try:
            return await asyncio.wait_for(self._free.acquire(), self._patience)
        except TimeoutError:
            return False

    def give(self) -> None:
        self._free.release()
{% else %}
class Turns:
    """Turns in the order of arrival, of the threads of one process."""

    def __init__(self, number: int, patience: float) -> None:
        self._patience = patience
        self._free = number
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Wait for a turn; return whether it came within `patience` seconds."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(self._patience):
            return True
        with self._lock:
            if not turn.is_set():
                self._waiting.remove(turn)
                return False
        return True

    def give(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1
{% endif %}


class Route:
    """One of the ways of a Database: for writes, for reads, for pings, or to the replica."""

    def __init__(self, url: SecretStr, settings: Settings, *, read_only: bool = False) -> None:
        self.settings = settings
        self.read_only = read_only
        self.engine = create_database_engine(url, settings, read_only=read_only)
        # Objects stay readable after the commit; a closed session raises when it is used again.
        self.sessions = async_sessionmaker(
            self.engine,
            expire_on_commit=False,
            close_resets_only=False,
        )
        self._plans = Plans(self.engine.sync_engine)
        # Behind PgBouncer, SQLAlchemy begins a transaction that sets the timeouts.
        self._is_planned = not settings.database_pgbouncer
        self._turns = self._new_turns()
        self._inherited: list[Pool] = []
        if hasattr(os, "register_at_fork"):
            start_anew = weakref.WeakMethod(self._start_anew)
            os.register_at_fork(after_in_child=lambda: (method := start_anew()) and method())

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a connection in the order of arrival: SQLAlchemy's queue lets others overtake.

        Raises sqlalchemy.exc.TimeoutError after DATABASE_POOL_TIMEOUT seconds.
        """
        if not await self._turns.take():
            timeout = self.settings.database_pool_timeout
            raise PoolTimeoutError(f"all connections of the pool are in use, timeout {timeout:g} s")
        try:
            yield
        finally:
            self._turns.give()

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> list[Row]:
        """Return the rows of one statement; a write is committed with them."""
        async with self.turn():
            found = self._plans.find(statement, values) if self._is_planned else None
            connection = found and idle_connection(self.engine.sync_engine)
            if found is None or connection is None:
                return await self._execute_by_sqlalchemy(statement, values)
            plan, parameters = found
            return plan.read(await self._execute(connection, plan.sql, parameters))

    async def _execute(self, connection: PoolProxiedConnection, sql: str, parameters: Any) -> Any:
        """Let the driver execute one statement, which is a transaction of its own."""
        started = time.perf_counter()
        try:
            return await driver.fetch(connection.driver_connection, sql, parameters)
        except Exception as error:
            lost = driver.is_lost(connection.dbapi_connection)
            lost = lost or is_useless(error, read_only=self.read_only)
{% if cookiecutter.engine == "async" %}
            if lost or driver.is_refusal(error):
{% else %}
            if lost:
{% endif %}
                connection.invalidate(error)
            shown = as_sqlalchemy_error(error, sql, parameters, self.settings, lost=lost)
            raise (not self.read_only and unknown_outcome(shown)) or shown from error
        finally:
            connection.close()
            log_if_slow(sql, started, self.settings.database_slow_query)

    async def _execute_by_sqlalchemy(self, statement: Any, values: Mapping[str, Any]) -> list[Row]:
        is_committing = False
        try:
            async with self.engine.begin() as connection:
                result = await connection.execute(statement, values)
                rows = self._plans.read(statement, values, result)
                is_committing = not self.read_only
            return rows
        except DBAPIError as error:
            raise (is_committing and unknown_outcome(error)) or error from error.__cause__

    def _start_anew(self) -> None:
        """Leave the connections to the parent process: two that share one mix up the answers."""
        # They are kept, since the parent's event loop would lose the sockets of those collected.
        self._inherited.append(self.engine.pool)
        self.engine.sync_engine.dispose(close=False)
        self._turns = self._new_turns()

    def _new_turns(self) -> Turns:
        limit = self.settings.database_pool_size + self.settings.database_max_overflow
        return Turns(limit, self.settings.database_pool_timeout)
{% endcall %}
