"""What is psycopg's own way: its arguments, a bounded wait, the check of a connection."""

import math
import os
import select
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextvars import ContextVar
from functools import cached_property, partial
from typing import Any, LiteralString, Self, cast

import psycopg
from psycopg.abc import RV, PQGen, PQGenConn
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DataError

from ..settings import Settings

ERRORS = psycopg.Error

# Seconds that the attempt to connect to one address may take.
connect_timeout: ContextVar[float] = ContextVar("connect_timeout")
# Seconds beyond statement_timeout after which a server that has not answered counts as lost.
RESPONSE_MARGIN = 5.0


def connect_arguments(
    query: Mapping[str, Any],
    settings: Settings,
    parameters: Mapping[str, str],
) -> dict[str, Any]:
    """Return the arguments of connect(), those of the URL's query among them.

    `parameters` are the server's parameters of the session.
    """
    options = [f"-c {name}={value}" for name, value in parameters.items()]
    if "options" in query:
        options.insert(0, query["options"])
    arguments: dict[str, Any] = {
        **query,
        "connect_timeout": settings.database_connect_timeout,
        "options": " ".join(options),
        "tcp_user_timeout": round(settings.database_tcp_user_timeout * 1000),
        "keepalives_idle": settings.database_keepalives_idle,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    if settings.database_pgbouncer:
        # A prepared statement belongs to one server connection, and PgBouncer changes that.
        arguments["prepare_threshold"] = None
    return arguments


def add_hooks(engine: Engine, settings: Settings) -> None:
    """Make the engine's connections bounded ones, and report what psycopg cannot encode."""
    response_timeout = settings.database_statement_timeout + RESPONSE_MARGIN
    # The hook that dialects are made to implement. Listeners for do_connect run before it, and may
    # change its arguments.
    vars(engine.dialect)["connect"] = partial(connect, response_timeout)
    event.listen(engine, "handle_error", translate_encoding_error)


def connect(response_timeout: float, *args: Any, **arguments: Any) -> DBAPIConnection:
    """Make a bounded connection in place of psycopg's own."""
    token = connect_timeout.set(arguments["connect_timeout"])
    try:
        connection = BoundedConnection.connect(*args, **arguments)
    finally:
        connect_timeout.reset(token)
    connection.response_timeout = response_timeout
    return cast(DBAPIConnection, connection)


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that gives up on a server that does not answer for `response_timeout` seconds.

    libpq would wait for ever, unless the kernel on the other side is gone too.
    """

    response_timeout: float | None = None

    @cached_property
    def reader(self) -> psycopg.Cursor[Any]:
        """A cursor for fetch(): a new one for each statement costs a tenth of a short read."""
        return self.cursor()

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        """Give up one address after `connect_timeout`: psycopg waits two seconds at least."""
        give_up_at = time.monotonic() + connect_timeout.get()
        attempt = super()._connect_gen(conninfo)
        try:
            wanted = next(attempt)
            while True:
                ready = yield wanted  # nothing is ready after a tenth of a second
                if not ready and time.monotonic() >= give_up_at:
                    raise psycopg.errors.ConnectionTimeout("connection timeout expired")
                wanted = attempt.send(ready)
        except StopIteration as end:
            return cast(Self, end.value)

    def wait(
        self,
        gen: PQGen[RV],
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> RV:
        limit = self.response_timeout if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # the answer may still come, and must not be the next one's
            raise

    def notifies(
        self,
        *,
        timeout: float | None = None,
        stop_after: int | None = None,
    ) -> Generator[psycopg.Notify]:
        """Wait for notifications without a limit of our own: the server owes no answer here."""
        limit = math.inf if timeout is None else timeout
        return super().notifies(timeout=limit, stop_after=stop_after)


def translate_encoding_error(context: ExceptionContext) -> DataError | None:
    """Treat psycopg's bare UnicodeEncodeError as the refusal of a value."""
    error = context.original_exception
    if not isinstance(error, UnicodeEncodeError):
        return None
    return DataError(context.statement, None, error, hide_parameters=True)


def arrange(values: dict[str, Any], _compiled: Any) -> dict[str, Any]:
    """Return the parameters of a compiled statement as psycopg takes them, by name."""
    return values


def fetch(
    connection: BoundedConnection,
    statement: LiteralString,
    parameters: Mapping[str, Any],
) -> Sequence[Any]:
    """Return the rows of a statement; psycopg prepares it when it has come five times."""
    rows = connection.reader.execute(statement, parameters).fetchall()
    connection.reader._reset()  # it would keep the result until its next statement
    return rows


def constraint_name(error: BaseException | None) -> str | None:
    """Return the constraint that psycopg's exception names, if it names one."""
    name: str | None = getattr(getattr(error, "diag", None), "constraint_name", None)
    return name


def primary_message(error: BaseException | None) -> str:
    """Return the first line of psycopg's exception, without its DETAIL and CONTEXT."""
    message: str | None = getattr(getattr(error, "diag", None), "message_primary", None)
    return message or str(error)


def source_file(error: BaseException) -> str | None:
    """Return the file of PostgreSQL's source that the error comes from, if the server says so."""
    return error.diag.source_file if isinstance(error, psycopg.Error) else None


def has_position(error: BaseException) -> bool:
    """Whether the server says where in the statement's text the error is."""
    return isinstance(error, psycopg.Error) and error.diag.statement_position is not None


def is_data_error(error: BaseException) -> bool:
    """Whether a value is at fault, by the server's judgement or psycopg's."""
    return isinstance(error, psycopg.DataError)


def shorten(error: BaseException, message: str) -> None:
    """Make `message` all that the exception says."""
    error.args = (message,)


def is_outdated_plan(error: BaseException | None) -> bool:
    """Whether a statement that the connection has prepared no longer fits the schema."""
    if isinstance(error, psycopg.errors.InternalError_):
        # The type of a parameter is gone, such as an enum that was replaced. PostgreSQL does not
        # translate its internal errors.
        return str(error).startswith("cache lookup failed for type")
    # Not by the message, which is in the server's language.
    return (
        isinstance(error, psycopg.errors.FeatureNotSupported)
        and error.diag.source_function == "RevalidateCachedQuery"
    )


def is_closed(connection: Any) -> bool:
    """Whether the connection is closed already, so that nothing can be sent."""
    closed: bool = connection.closed
    return closed


def looks_closed(connection: BoundedConnection) -> bool:
    """Whether the server has sent something to an idle connection, such as that it shuts down."""
    if connection.closed:
        return True
    if sys.platform == "win32":  # which has no poll()
        return bool(select.select([connection], [], [], 0)[0])
    poll = select.poll()  # epoll, which selectors would take, makes a descriptor each time
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def is_in_transaction(connection: BoundedConnection) -> bool:
    """Whether the server said so with its last answer."""
    return connection.pgconn.transaction_status != TransactionStatus.IDLE


def is_writable(connection: BoundedConnection) -> bool:
    """Whether default_transaction_read_only is off; the server reports whenever it changes."""
    return connection.pgconn.parameter_status(b"default_transaction_read_only") == b"off"


def responds(connection: BoundedConnection, timeout: float) -> bool:
    """Whether the server answers within `timeout` seconds; costs a round trip."""
    response_timeout, autocommit = connection.response_timeout, connection.autocommit
    try:
        connection.response_timeout, connection.autocommit = timeout, True
        connection.execute("")
        connection.response_timeout, connection.autocommit = response_timeout, autocommit
    except psycopg.Error:
        return False
    return True


class ConnectionOwner:
    """The process that the connections of some engines belong to."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = engines
        self._pid = os.getpid()

    def claim(self) -> bool:
        """Make the running process the owner; return whether that replaced pools.

        Connections of a parent process are left alone.
        """
        if self._pid == os.getpid():
            return False
        for engine in self._engines:
            engine.dispose(close=False)
        self._pid = os.getpid()
        return True

    def dispose(self) -> None:
        """Close the idle connections; libpq does not wait for the server."""
        for engine in self._engines:
            engine.dispose()
