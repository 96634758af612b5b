"""What is asyncpg's own way: how it connects, executes, and reports its errors."""

import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
from asyncpg.exceptions import (
    IntegrityConstraintViolationError,
    InternalClientError,
    InternalServerError,
    InvalidCachedStatementError,
    OutdatedSchemaCacheError,
    SyntaxOrAccessError,
)
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, event, exc
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, MissingGreenlet
from sqlalchemy.pool import ConnectionPoolEntry

from ..settings import Settings

logger = logging.getLogger(__name__)

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, InternalClientError)
APPLICATION_NAME = __name__.partition(".")[0]
# What SQLAlchemy raises for them.
CLASSES: dict[type, type[DBAPIError]] = {
    asyncpg.InterfaceError: exc.InterfaceError,
    asyncpg.PostgresError: DBAPIError,
    IntegrityConstraintViolationError: exc.IntegrityError,
    InternalClientError: exc.InternalError,
    InternalServerError: exc.InternalError,
    InvalidCachedStatementError: exc.NotSupportedError,
    SyntaxOrAccessError: exc.ProgrammingError,
    TimeoutError: exc.OperationalError,
}

# Seconds beyond statement_timeout after which a server that has not answered counts as lost.
RESPONSE_MARGIN = 5.0
# Seconds that a server may take to answer when a connection is closed.
CLOSE_TIMEOUT = 1.0


class OnceAwaited:
    """An awaitable whose coroutine is made when somebody awaits it, and not before.

    SQLAlchemy may find that it cannot await here (MissingGreenlet).
    """

    def __init__(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.function = function

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.function().__await__()


def open_connection(
    dialect: Dialect,
    url: SecretStr,
    settings: Settings,
    parameters: Mapping[str, str],
    password: Callable[[], str] | None,
) -> DBAPIConnection:
    """Connect, and give SQLAlchemy the connection; raise OperationalError if that fails.

    `parameters` are those of the server's session. `password`, which may return an awaitable, is
    called for each attempt.
    """
    dbapi: Any = dialect.loaded_dbapi

    async def create() -> "asyncpg.Connection[Any]":
        try:
            return await connect(url.get_secret_value(), settings, parameters, password)
        except (OSError, ValueError, *ERRORS) as error:
            message = f"cannot connect: {str(error) or 'timed out'}"
            if "startup parameter" in message:
                message += ". If this is PgBouncer, set DATABASE_PGBOUNCER=true"
            raise dbapi.OperationalError(message, error) from error

    # A prepared statement belongs to one server connection, and PgBouncer changes that.
    options = {"prepared_statement_cache_size": 0} if settings.database_pgbouncer else {}
    connection: DBAPIConnection = dbapi.connect(
        async_creator_fn=lambda: OnceAwaited(create),
        **options,
    )
    return connection


async def connect(
    url: str,
    settings: Settings,
    parameters: Mapping[str, str],
    password: Callable[[], str] | None,
) -> "asyncpg.Connection[Any]":
    """Ask each host in turn; they share the timeout, so a silent one leaves time for the next."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    named = {} if "application_name" in query else {"application_name": APPLICATION_NAME}
    arguments: dict[str, Any] = {
        "command_timeout": settings.database_statement_timeout + RESPONSE_MARGIN,
        "password": password,
        "server_settings": {**named, **parameters},
    }
    if settings.database_pgbouncer:
        arguments["statement_cache_size"] = 0
    if query.get("sslrootcert") == ["system"]:
        # asyncpg would take it for the name of a file.
        arguments["ssl"] = ssl.create_default_context()
        arguments["ssl"].set_alpn_protocols(["postgresql"])
    user, at, hosts = parts.netloc.rpartition("@")
    wanted: list[Any] = [None]
    if query.get("target_session_attrs") == ["prefer-standby"]:
        wanted = ["standby", "any"]
    attempts = [(host, attribute) for attribute in wanted for host in hosts.split(",")]
    failure: Exception | None = None
    for host, attribute in attempts:
        try:
            connection = await asyncpg.connect(
                url.replace(f"//{parts.netloc}", f"//{user}{at}{host}", 1),
                timeout=settings.database_connect_timeout / len(attempts),
                target_session_attrs=attribute,
                **arguments,
            )
        except (OSError, *ERRORS) as error:
            failure = error
        else:
            set_socket_options(connection, settings)
            return connection
    assert failure is not None
    raise failure


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


async def fetch(connection: Any, statement: str, parameters: Sequence[Any]) -> Sequence[Any]:
    """Return the rows of one statement; outside of a transaction, it is committed with them."""
    rows: Sequence[Any] = await connection.fetch(statement, *parameters)
    return rows


def add_hooks(engine: Engine) -> None:
    """Send BEGIN when the engine begins, and wait for silent servers once when it ends."""
    silent_until = 0.0

    def begin(connection: Connection) -> None:
        # SQLAlchemy sends BEGIN with the first statement of its own. What the driver itself is
        # asked for before, such as COPY, would be no part of the transaction. There is no public
        # way to begin earlier. A test of the contract fails when this name goes.
        adapted: Any = connection.connection.dbapi_connection
        adapted.run_async(lambda _: adapted._start_transaction())

    def close(connection: Any, _record: ConnectionPoolEntry) -> None:
        # asyncpg would wait for its command_timeout, for one connection after the other.
        nonlocal silent_until
        timeout = CLOSE_TIMEOUT if time.monotonic() > silent_until else 0.01
        try:
            connection.run_async(lambda driver: driver.close(timeout=timeout))
        except MissingGreenlet:
            return  # SQLAlchemy is about to terminate the connection
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
    lost: bool = connection.driver_connection.is_closed()
    return lost


def is_in_transaction(connection: Any) -> bool:
    """Whether the server said so with its last answer."""
    in_transaction: bool = connection.driver_connection.is_in_transaction()
    return in_transaction


def sqlalchemy_class(error: BaseException) -> type[DBAPIError] | None:
    """Return the class that SQLAlchemy raises for an exception of asyncpg."""
    found = [CLASSES[kind] for kind in type(error).__mro__ if kind in CLASSES]
    return found[0] if found else None


def native(error: BaseException) -> BaseException:
    """Return asyncpg's exception, from which SQLAlchemy's emulation was raised."""
    return error.__cause__ if isinstance(error.__cause__, ERRORS) else error


def is_refusal(error: BaseException) -> bool:
    """Whether asyncpg has refused a value after it had prepared the statement."""
    cause = native(error)
    is_of_value = isinstance(cause, asyncpg.DataError) and cause.severity is None
    return is_of_value or isinstance(cause, asyncpg.InterfaceError)


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
    name: str | None = getattr(native(error), "constraint_name", None) if error else None
    return name


def without_values(error: BaseException) -> str:
    """Leave DETAIL, which shows a row, and a value that is named out of the exception's texts.

    Returns what is left.
    """
    cause: Any = native(error)
    message = str(cause.args[0]) if cause.args else ""
    if (getattr(cause, "sqlstate", None) or "").startswith("22"):
        # Such as: invalid input syntax for type integer: "secret"
        message = re.split("""["'«„“:]""", message, maxsplit=1)[0].strip()
    for each in (error, cause):
        each.args = (message,)
    if isinstance(cause, asyncpg.PostgresError):
        cause.detail = cause.hint = None
        cause.__cause__ = cause.__context__ = None  # why asyncpg cannot encode a value names it
    return message
