"""A way to the server: an engine, its session factory, turns at its pool, and its fetch()."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import asyncio
import math
import os
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.pool import Pool

from ..settings import Settings
from . import asyncpg_driver as driver
from .engine import create_database_engine
from .faults import as_unknown
from .statements import Plans, Row, Statement, Values, idle_connection, log_if_slow

IN_USE = "all connections of the pool are in use, timeout {:g} s"


class Route:
    """One of the ways of a Database: for writes, for reads, for pings, or to the replica."""

    def __init__(
        self,
        url: SecretStr,
        settings: Settings,
        *,
        read_only: bool = False,
        ping_after_idle: float = math.inf,
    ) -> None:
        self.settings = settings
        self.read_only = read_only
        self.engine = create_database_engine(
            url,
            settings,
            read_only=read_only,
            ping_after_idle=ping_after_idle,
        )
        # Objects stay readable after the commit; a closed session raises when it is used again.
        self.sessions = async_sessionmaker(
            self.engine,
            expire_on_commit=False,
            close_resets_only=False,
        )
        self._plans = Plans(self.engine.sync_engine)
        self._inherited: list[Pool] = []
        self._own()
        if hasattr(os, "register_at_fork"):
            start_anew = weakref.WeakMethod(self._start_anew)
            os.register_at_fork(after_in_child=lambda: (method := start_anew()) and method())

    def _own(self) -> None:
        connections = self.settings.database_pool_size + self.settings.database_max_overflow
{% if cookiecutter.engine == "async" %}
        self._turns = asyncio.Semaphore(connections)
        self._loop: asyncio.AbstractEventLoop | None = None
{% else %}
        self._turns = driver.Turns(connections)
{% endif %}

    def _start_anew(self) -> None:
        """Leave the connections to the parent process: two that share one mix up the answers."""
        # They are kept, since the parent's event loop would lose the sockets of those collected.
        self._inherited.append(self.engine.pool)
        self.engine.sync_engine.dispose(close=False)
        self._own()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a connection in the order of arrival: SQLAlchemy's queue lets others overtake.

        Raises sqlalchemy.exc.TimeoutError after DATABASE_POOL_TIMEOUT seconds.
        """
        patience = self.settings.database_pool_timeout
{% if cookiecutter.engine == "async" %}
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise RuntimeError("this Database belongs to another event loop: create one here")
        try:
            # A timer that is not needed costs a fast read a twentieth.
            async with asyncio.timeout(patience if self._turns.locked() else None):
                await self._turns.acquire()
        except TimeoutError:
            raise PoolTimeoutError(IN_USE.format(patience)) from None
{% else %}
        if not self._turns.acquire(patience):
            raise PoolTimeoutError(IN_USE.format(patience))
{% endif %}
        try:
            yield
        except driver.ERRORS as error:
            # The driver's own error, of a connection that is lost while SQLAlchemy prepares it.
            if "connection is closed" not in str(error):
                raise
            raise OperationalError(None, None, error, True, True) from error
        finally:
            self._turns.release()

    async def fetch(self, statement: Statement, values: Values) -> list[Row]:
        """Return the rows of one statement; a write is committed with them."""
        async with self.turn():
            # Behind PgBouncer, SQLAlchemy begins a transaction that sets the timeouts.
            is_fast = not self.settings.database_pgbouncer
            found = self._plans.find(statement, values) if is_fast else None
            connection = found and idle_connection(self.engine.sync_engine)
            if found is None or connection is None:
                return await self._execute(statement, values)
            plan, parameters = found
            started = time.perf_counter()
            try:
                rows = await driver.fetch(connection.driver_connection, plan.sql, parameters)
                return plan.read(rows)
            except Exception as error:
                timed_out = isinstance(error, driver.TIMEOUTS)
                if lost := timed_out or driver.is_lost(connection.dbapi_connection):
                    connection.invalidate(error)
                is_wait = getattr(error, "sqlstate", None) in {"55P03", "57014"}
                # Also if it has returned a row that cannot be read.
                has_effect = lost or not isinstance(error, driver.REFUSALS)
                may_be_done = has_effect and not self.read_only
                if timed_out or is_wait or may_be_done:  # it is not to be executed again
                    shown = OperationalError(plan.sql, None, error, True, lost or may_be_done)
                    raise (as_unknown(shown) if may_be_done else shown) from error
            finally:
                connection.close()
                log_if_slow(plan.sql, started, self.settings.database_slow_query)
            # It had no effect. SQLAlchemy executes it again, and reports the error as always.
            return await self._execute(statement, values)

    async def _execute(self, statement: Any, values: Values) -> list[Row]:
        is_committing = False
        try:
            async with self.engine.begin() as connection:
                result = await connection.execute(statement, values)
                rows = self._plans.read(statement, values, result)
                is_committing = not self.read_only
            return rows
        except DBAPIError as error:
            raise (as_unknown(error) if is_committing else error) from error.__cause__


def refuse_pending_changes(session: AsyncSession) -> None:
    """Raise InvalidRequestError if the session holds changes that are not stored."""
    changed = [each for each in session.dirty if session.is_modified(each)]
    names = {type(each).__name__ for each in (*session.new, *session.deleted, *changed)}
    if names:
        raise InvalidRequestError(
            f"read_only() does not store its changes of {', '.join(sorted(names))}: make them in "
            "transaction(), or expunge the objects from the session",
        )
{% endcall %}
