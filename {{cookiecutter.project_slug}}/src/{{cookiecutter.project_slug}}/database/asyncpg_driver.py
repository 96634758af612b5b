"""What is asyncpg's own way: how it connects, executes, and reports its errors."""

import logging
import re
import socket
import ssl
import time
import types
from collections.abc import Callable, Generator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
from asyncpg.exceptions import (
    InternalClientError,
    InternalServerError,
    InvalidCachedStatementError,
    OutdatedSchemaCacheError,
)
from sqlalchemy import Connection, Engine, event, exc
from sqlalchemy.engine import Dialect

from ..settings import Settings

logger = logging.getLogger(__name__)

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, InternalClientError)
REFUSALS = (asyncpg.PostgresError, asyncpg.InterfaceError)  # the statement has had no effect
TIMEOUTS = (TimeoutError,)  # asyncpg's command_timeout
NAME = "postgresql+asyncpg"
APPLICATION_NAME = __name__.partition(".")[0]
# Seconds beyond statement_timeout after which a server that has not answered counts as lost, and
# seconds that it may take to answer when a connection is closed.
RESPONSE_MARGIN, CLOSE_TIMEOUT = 5.0, 1.0


def open_connection(
    dialect: Dialect,
    url: str,
    settings: Settings,
    parameters: dict[str, str],
    password: Callable[[], Any] | None,
) -> Any:
    """Connect, and adapt the connection for SQLAlchemy; raise OperationalError if that fails.

    `parameters` are those of the server's session. `password` returns one, or an awaitable of one.
    """
    dbapi: Any = dialect.loaded_dbapi
    query = parse_qs(urlsplit(url).query)
    if "application_name" not in query:
        parameters = {"application_name": APPLICATION_NAME, **parameters}
    arguments: dict[str, Any] = {
        "command_timeout": settings.database_statement_timeout + RESPONSE_MARGIN,
        "password": password,
        "server_settings": parameters,
    }
    options: dict[str, Any] = {}
    if settings.database_pgbouncer:
        # A prepared statement belongs to one server connection, and PgBouncer changes that.
        arguments["statement_cache_size"] = options["prepared_statement_cache_size"] = 0
    if query.get("sslrootcert") == ["system"]:
        # asyncpg would take it for the name of a file.
        arguments["ssl"] = ssl.create_default_context()
        arguments["ssl"].set_alpn_protocols(["postgresql"])

    async def connect() -> Any:
        try:
            connection = await connect_to_hosts(url, settings.database_connect_timeout, arguments)
        except (OSError, ValueError, *ERRORS) as error:
            message = f"cannot connect: {str(error) or 'timed out'}"
            if "startup parameter" in message:
                message += ". If this is PgBouncer, set DATABASE_PGBOUNCER=true"
            raise dbapi.OperationalError(message, error) from error
        set_socket_options(connection, settings)
        return connection

    @types.coroutine
    def connect_if_awaited() -> Generator[Any, Any, Any]:
        # SQLAlchemy may find that it cannot await here (MissingGreenlet), and drop what this gives.
        return (yield from connect().__await__())

    return dbapi.connect(async_creator_fn=connect_if_awaited, **options)


async def connect_to_hosts(url: str, patience: float, arguments: dict[str, Any]) -> Any:
    """Ask each host in turn; they share the time, so a silent one leaves some for the next."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    wanted: list[Any] = [None]
    if "target_session_attrs=prefer-standby" in parts.query:
        wanted = ["standby", "any"]
    attempts = [(host, attribute) for attribute in wanted for host in hosts.split(",")]
    for number, (host, attribute) in enumerate(attempts, 1):
        try:
            return await asyncpg.connect(
                url.replace(f"//{parts.netloc}", f"//{user}{at}{host}", 1),
                timeout=patience / len(attempts),
                target_session_attrs=attribute,
                **arguments,
            )
        except (OSError, *ERRORS):
            if number == len(attempts):
                raise


def set_socket_options(connection: Any, settings: Settings) -> None:
    """Make TCP notice a host that is gone; libpq has parameters for this."""
    # asyncpg has no public way to its socket. A test of the contract fails when this name goes.
    connected = connection._transport.get_extra_info("socket")
    options = {
        "TCP_USER_TIMEOUT": round(settings.database_tcp_user_timeout * 1000),
        "TCP_KEEPIDLE": settings.database_keepalives_idle,
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 3,
    }
    if connected.family in {socket.AF_INET, socket.AF_INET6}:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if hasattr(socket, name):  # not every system has each
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def fetch(connection: Any, sql: str, parameters: list[Any]) -> Any:
    """Return the rows of one statement, which is a transaction of its own."""
    return await connection.fetch(sql, *parameters)


def add_hooks(engine: Engine) -> None:
    """Send BEGIN when the engine begins; wait for a silent server once when connections close."""
    silent_until = 0.0

    def begin(connection: Connection) -> None:
        # SQLAlchemy sends BEGIN with its first statement. What the driver itself is asked for
        # before, such as COPY, would be no part of the transaction. There is no public way to
        # begin earlier. A test of the contract fails when this name goes.
        adapted: Any = connection.connection.dbapi_connection
        try:
            adapted.run_async(lambda _: adapted._start_transaction())
        except BaseException as error:  # SQLAlchemy does not look after what listeners raise
            connection.invalidate(error)
            if isinstance(error, Exception):
                raise exc.OperationalError("BEGIN", None, error, True, True) from error
            raise

    def close(connection: Any, _record: object) -> None:
        # asyncpg would wait for its command_timeout, for one connection after the other.
        nonlocal silent_until
        timeout = CLOSE_TIMEOUT if time.monotonic() > silent_until else 0.01
        try:
            connection.run_async(lambda driver: driver.close(timeout=timeout))
        except (exc.MissingGreenlet, *ERRORS):
            return  # SQLAlchemy is about to end the connection in its own way
        except TimeoutError:  # it is closed all the same
            silent_until = time.monotonic() + 10 * CLOSE_TIMEOUT
            logger.warning("the server did not answer when a connection was closed")

    event.listen(engine, "begin", begin)
    event.listen(engine, "close", close)


def responds(connection: Any, timeout: float) -> bool:
    """Whether the server answers within `timeout` seconds; costs a round trip."""
    try:
        connection.run_async(lambda driver: driver.execute("SELECT 1", timeout=timeout))
    except (OSError, *ERRORS):
        return False
    return True


def is_lost(connection: Any) -> bool:
    """Whether the driver knows that the connection is closed; costs no round trip."""
    return bool(connection.driver_connection.is_closed())


def is_in_transaction(connection: Any) -> bool:
    """Whether the server said so with its last answer."""
    driver_connection = connection.driver_connection
    return not driver_connection.is_closed() and bool(driver_connection.is_in_transaction())


def native(error: BaseException | None) -> Any:
    """Return asyncpg's exception, from which SQLAlchemy's emulation was raised."""
    cause = error and error.__cause__
    return cause if isinstance(cause, ERRORS) else error


def is_refusal(error: BaseException) -> bool:
    """Whether asyncpg has refused a value after the server had prepared the statement."""
    cause = native(error)
    of_value = isinstance(cause, asyncpg.DataError) and cause.severity is None
    return of_value or isinstance(cause, asyncpg.InterfaceError)


def is_outdated_plan(error: BaseException) -> bool:
    """Whether a statement that the connection has prepared no longer fits the schema."""
    cause = native(error)
    if isinstance(cause, InternalServerError):
        # The type of a parameter is gone, such as an enum that was replaced. PostgreSQL does not
        # translate its internal errors.
        return str(cause).startswith("cache lookup failed for type")
    return isinstance(cause, InvalidCachedStatementError | OutdatedSchemaCacheError)


def constraint_name(error: BaseException | None) -> str | None:
    """Return the constraint that asyncpg's exception names, if it names one."""
    return getattr(native(error), "constraint_name", None)


def without_values(error: BaseException) -> str:
    """Leave DETAIL, which shows a row, and a value out of the exception; return its message."""
    cause = native(error)
    message = str(cause.args[0]) if cause.args else ""
    if (getattr(cause, "sqlstate", None) or "").startswith("22"):
        # Such as: invalid input syntax for type integer: "secret"
        message = re.split("""["'«„“:]""", message, maxsplit=1)[0].strip()
    error.args = cause.args = (message,)
    if isinstance(cause, asyncpg.PostgresError):
        cause.detail = cause.hint = None
        cause.__cause__ = cause.__context__ = None  # why asyncpg cannot encode a value names it
    return message
