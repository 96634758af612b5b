"""What is asyncpg's own way: its arguments, its exceptions, the check of a connection."""

import asyncio
import logging
import os
import random
import socket
import ssl
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from weakref import WeakSet

from asyncpg import Connection, DataError, InterfaceError, PostgresError
from asyncpg.exceptions import (
    InternalServerError,
    InvalidCachedStatementError,
    OutdatedSchemaCacheError,
)
from sqlalchemy import Engine, Pool, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.util import await_

from ..settings import Settings
from .greenlets import Greenlets

logger = logging.getLogger(__name__)

ERRORS = (PostgresError, InterfaceError)

# Seconds beyond statement_timeout after which a server that has not answered counts as lost.
RESPONSE_MARGIN = 5.0
# Seconds that the end of a connection may take, or of all connections that are closed together.
CLOSE_TIMEOUT = 2.0
# The time of the event loop at which all of them are closed.
close_by: ContextVar[float | None] = ContextVar("close_by", default=None)

# The directories in which the packages of PostgreSQL put its socket.
SOCKETS = ("/run/postgresql", "/var/run/postgresql", "/tmp")

# Seconds for the server to end a statement that is given up.
REFUSAL_TIMEOUT = 1.0


def connect_arguments(
    query: Mapping[str, Any],
    settings: Settings,
    parameters: Mapping[str, str],
) -> dict[str, Any]:
    """Return the arguments of asyncpg.connect(), with libpq's names in the URL's query translated.

    `parameters` are the server's parameters of the session.
    """
    ignore_unreadable_home()
    # asyncpg reads the TLS parameters, files included, from a DSN only.
    dsn = {name: query[name] for name in query if name.startswith("ssl")}
    arguments: dict[str, Any] = {
        "dsn": f"postgresql://?{urlencode(dsn)}",
        "target_session_attrs": query.get("target_session_attrs"),
        "timeout": settings.database_connect_timeout,
        "command_timeout": settings.database_statement_timeout + RESPONSE_MARGIN,
        "connection_class": BoundedConnection,
        "server_settings": {"application_name": query["application_name"], **parameters},
    }
    if query.get("sslrootcert") == "system":
        # asyncpg would take it for the name of a file.
        arguments["ssl"] = ssl.create_default_context()
        arguments["ssl"].set_alpn_protocols(["postgresql"])
    if "load_balance_hosts" in query:
        arguments["load_balance_hosts"] = query["load_balance_hosts"]  # connect() takes it out
    if "options" in query:
        arguments["server_settings"]["options"] = query["options"]
    if settings.database_pgbouncer:
        # A prepared statement belongs to one server connection, and PgBouncer changes that.
        arguments |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    return arguments


def ignore_unreadable_home() -> None:
    """Go on without ~/.postgresql where HOME belongs to another user, as libpq does.

    asyncpg looks there for certificates, and raises PermissionError (MagicStack/asyncpg#910).
    Containers inherit HOME=/root where only the user is changed.
    """
    try:
        (Path.home() / ".postgresql" / "postgresql.key").stat()
    except PermissionError:
        os.environ["HOME"] = os.devnull
    except RuntimeError:
        return  # no home
    except OSError:
        return  # no such file, which asyncpg knows


def add_hooks(engine: Engine, settings: Settings) -> None:
    """Make the engine connect, and report a lost connection, as it does with other drivers."""
    # Hooks that dialects are made to implement, and whose errors the engine handles. Listeners for
    # do_connect run before this one, and may change its arguments.
    hooks = vars(engine.dialect)
    hooks["connect"] = partial(connect, engine.dialect, socket_options(settings))
    hooks["do_begin"] = begin
    event.listen(engine, "handle_error", translate_timeout)
    event.listen(engine, "handle_error", end_refused_statement)


def connect(
    dialect: Dialect,
    options: Sequence[tuple[int, int]],
    *args: Any,
    **arguments: Any,
) -> DBAPIConnection:
    """Try each address of each host in turn; raise OperationalError if none answers.

    asyncpg has one timeout for all of them together, and raises most refusals as bare exceptions.
    """
    dbapi: Any = dialect.loaded_dbapi
    timeout = arguments["timeout"]
    is_balanced = arguments.pop("load_balance_hosts", None) == "random"
    try:
        attempts = await_(find_addresses(arguments, options))
    except (OSError, ValueError) as error:
        raise cannot_connect(dbapi, error) from error
    if is_balanced:
        random.shuffle(attempts)
    if arguments["target_session_attrs"] == "prefer-standby":
        standby = {"target_session_attrs": "standby"}
        other = {"target_session_attrs": "any"}
        attempts = [each | wanted for wanted in (standby, other) for each in attempts]
    failure: Exception | None = None
    for attempt in attempts:
        try:
            changes = attempt | {"timeout": timeout / len(attempts)}
            connection: DBAPIConnection = dbapi.connect(*args, **(arguments | changes))
            return connection
        except (OSError, ValueError, InterfaceError, PostgresError, dbapi.Error) as error:
            failure = error
    raise cannot_connect(dbapi, failure) from failure


def cannot_connect(dbapi: Any, error: Exception | None) -> Exception:
    """Return the OperationalError for what kept asyncpg from connecting."""
    refusal: Exception = dbapi.OperationalError(
        f"cannot connect: {str(error) or 'timed out'}",
        error,
    )
    return refusal


def socket_options(settings: Settings) -> list[tuple[int, int]]:
    """Return the options of TCP that this system knows; libpq has parameters for them."""
    options = {
        "TCP_USER_TIMEOUT": round(settings.database_tcp_user_timeout * 1000),
        "TCP_KEEPIDLE": settings.database_keepalives_idle,
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 3,
    }
    return [
        (getattr(socket, name), value) for name, value in options.items() if hasattr(socket, name)
    ]


async def find_addresses(
    kwargs: Mapping[str, Any],
    options: Sequence[tuple[int, int]],
) -> list[dict[str, Any]]:
    """Return the arguments that differ from one address to the next; raise the last OSError."""
    hosts, ports = kwargs.get("host"), kwargs.get("port", 5432)
    if hosts is None:
        hosts = default_hosts(ports)
        ports = [ports] * len(hosts)
    elif isinstance(hosts, str):
        hosts, ports = [hosts], [ports]
    loop = asyncio.get_running_loop()
    found: list[dict[str, Any]] = []
    failure: OSError | None = None
    for host, port in zip(hosts, ports, strict=True):
        place = {"host": host, "port": port}
        if host.startswith("/"):
            found.append(place)
            continue
        try:
            addresses = await look_up(host, port, kwargs["timeout"])
        except OSError as error:
            failure = error
        else:
            found += [{**place, "loop": AddressLoop(loop, each, options)} for each in addresses]
    if failure is not None and not found:
        raise failure
    return found


def default_hosts(port: int) -> list[str]:
    """Return where the server is if the URL names no host, as asyncpg looks for it."""
    if named := os.environ.get("PGHOST"):
        return named.split(",")
    sockets = [name for name in SOCKETS if Path(name, f".s.PGSQL.{port}").exists()]
    return [*sockets, "localhost"]


async def look_up(host: str, port: int, limit: float) -> Sequence[tuple[Any, ...]]:
    """Return the addresses of a host; raise OSError if there is none within `limit` seconds."""
    with suppress(socket.gaierror):  # it is a name
        # A numeric address needs no thread. All threads of the loop may be busy.
        return socket.getaddrinfo(
            host,
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_NUMERICHOST,
        )
    async with asyncio.timeout(limit):
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


class AddressLoop:
    """The event loop, for asyncpg, which connects a name to one of its addresses.

    The name stays what TLS verifies.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: tuple[Any, ...],
        options: Sequence[tuple[int, int]],
    ) -> None:
        self._loop = loop
        self._address = address
        self._options = options

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str,
        _port: int,
        **arguments: Any,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        family, kind, protocol, _, address = self._address
        connected = socket.socket(family, kind, protocol)
        try:
            connected.setblocking(False)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in self._options:
                connected.setsockopt(socket.IPPROTO_TCP, option, value)
            await self._loop.sock_connect(connected, address)
            if "ssl" in arguments:
                arguments["server_hostname"] = host
            return await self._loop.create_connection(
                protocol_factory,
                sock=connected,
                **arguments,
            )
        except BaseException:
            connected.close()
            raise


class BoundedConnection(Connection):
    """A connection that does not wait for ever until the server has said goodbye.

    asyncpg would wait for its command_timeout.
    """

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  asyncpg has this argument
        if timeout is None:
            now = asyncio.get_running_loop().time()
            timeout = max(0.001, (close_by.get() or now + CLOSE_TIMEOUT) - now)
        try:
            await super().close(timeout=timeout)
        except TimeoutError:  # the socket is closed all the same
            logger.warning("the server did not answer when a connection was closed")


def begin(connection: PoolProxiedConnection) -> None:
    """Send BEGIN when the engine begins, so that the driver's own calls are in the transaction.

    SQLAlchemy sends it with the first statement of its own. COPY would come before that.
    """
    adapted: Any = connection.dbapi_connection
    if adapted.autocommit:
        return  # there is nothing to send
    if adapted._transaction is None:  # else a listener has sent a statement
        adapted.run_async(lambda _driver: adapted._start_transaction())


def translate_timeout(context: ExceptionContext) -> OperationalError | None:
    """Treat asyncpg's bare TimeoutError (command_timeout) as a lost connection."""
    error = context.original_exception
    if not isinstance(error, TimeoutError):
        return None
    context.is_disconnect = True
    context.invalidate_pool_on_disconnect = False
    return OperationalError(
        context.statement,
        None,
        error,
        hide_parameters=True,
        connection_invalidated=True,
    )


def end_refused_statement(context: ExceptionContext) -> None:
    """End the statement whose values asyncpg has refused after it was prepared.

    In AUTOCOMMIT the server would take it for a part of the next transaction, and refuse that.
    """
    cause = context.original_exception.__cause__
    is_refused = isinstance(cause, InterfaceError) or (
        isinstance(cause, DataError) and cause.severity is None
    )
    if is_refused and context.connection is not None and not context.connection.invalidated:
        responds(context.connection.connection.dbapi_connection, REFUSAL_TIMEOUT)


def arrange(values: dict[str, Any], compiled: Any) -> list[Any]:
    """Return the parameters of a compiled statement as asyncpg takes them, by position."""
    return [values[name] for name in compiled.positiontup]


def fetch(connection: Any, statement: str, parameters: Sequence[Any]) -> Sequence[Any]:
    """Return the rows of a statement; asyncpg prepares it once for each connection."""
    try:
        rows: Sequence[Any] = await_(connection.driver_connection.fetch(statement, *parameters))
    except Exception as error:
        connection._handle_exception(error)  # raises SQLAlchemy's emulation of it
        raise
    return rows


def constraint_name(error: BaseException | None) -> str | None:
    """Return the constraint that asyncpg's exception names, if it names one."""
    name: str | None = getattr(error, "constraint_name", None)
    return name


def primary_message(error: BaseException | None) -> str:
    """Return the first line of asyncpg's exception, without its DETAIL and HINT."""
    return str(error.args[0]) if error is not None and error.args else ""


def source_file(error: BaseException) -> str | None:
    """Return the file of PostgreSQL's source that the error comes from, if the server says so."""
    name: str | None = getattr(asyncpg_error(error), "server_source_filename", None)
    return name


def has_position(error: BaseException) -> bool:
    """Whether the server says where in the statement's text the error is."""
    return getattr(asyncpg_error(error), "position", None) is not None


def is_data_error(error: BaseException) -> bool:
    """Whether a value is at fault, by the server's judgement or asyncpg's."""
    sqlstate: str | None = getattr(error, "sqlstate", None)
    return (sqlstate or "").startswith("22")


def asyncpg_error(error: BaseException) -> BaseException:
    """Return asyncpg's exception, which SQLAlchemy's emulation was raised from."""
    return error.__cause__ if isinstance(error.__cause__, ERRORS) else error


def shorten(error: BaseException, message: str) -> None:
    """Make `message` all that the exception, and what it was raised from, say."""
    error.args = (message,)
    native = asyncpg_error(error)
    if isinstance(native, ERRORS):
        native.args = (message,)
        native.detail = native.hint = None
        # Why the driver cannot encode a value is told with the value.
        native.__cause__ = native.__context__ = None


def is_outdated_plan(error: BaseException | None) -> bool:
    """Whether a statement that the connection has prepared no longer fits the schema."""
    cause = error and error.__cause__
    if isinstance(cause, InternalServerError):
        # The type of a parameter is gone, such as an enum that was replaced. PostgreSQL does not
        # translate its internal errors.
        return str(cause).startswith("cache lookup failed for type")
    return isinstance(cause, InvalidCachedStatementError | OutdatedSchemaCacheError)


def is_closed(connection: Any) -> bool:
    """Whether the connection is closed already, so that nothing can be sent."""
    closed: bool = connection.driver_connection.is_closed()
    return closed


def is_in_transaction(connection: Any) -> bool:
    """Whether the server said so with its last answer."""
    in_transaction: bool = connection.driver_connection.is_in_transaction()
    return in_transaction


def is_writable(connection: Any) -> bool:
    """Whether default_transaction_read_only is off; the server reports whenever it changes."""
    parameters = connection.driver_connection.get_settings()
    return getattr(parameters, "default_transaction_read_only", None) == "off"


def looks_closed(connection: Any) -> bool:
    """Whether the driver knows that the connection is closed; costs no round trip."""
    return is_closed(connection)


def responds(connection: Any, timeout: float) -> bool:
    """Whether the server answers within `timeout` seconds; costs a round trip."""
    with suppress(OSError, InterfaceError, PostgresError):
        connection.run_async(lambda driver: driver.execute("SELECT 1", timeout=timeout))
        return True
    return False


class ConnectionOwner:
    """The process and the event loop that the connections of some engines belong to."""

    def __init__(self, engines: Sequence[AsyncEngine]) -> None:
        self._engines = engines
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inherited_pools: list[Pool] = []
        self._connections: WeakSet[BoundedConnection] = WeakSet()
        self.greenlets = Greenlets()
        for engine in engines:
            event.listen(engine.sync_engine, "connect", self._note_connection)

    def claim(self) -> bool:
        """Make the running process and event loop the owner; return whether that replaced pools.

        Connections of a parent process are left alone, those of an event loop that has ended are
        closed. Raises RuntimeError while another event loop uses the connections.
        """
        pid, loop = os.getpid(), asyncio.get_running_loop()
        if self._loop is loop and self._pid == pid:
            return False
        is_first = self._loop is None
        if not is_first:
            self._abandon_connections(is_fork=self._pid != pid)
        self._pid, self._loop = pid, loop
        return not is_first

    async def dispose(self) -> None:
        """Close the idle connections, all of them within CLOSE_TIMEOUT seconds."""
        token = close_by.set(asyncio.get_running_loop().time() + CLOSE_TIMEOUT)
        try:
            for engine in self._engines:
                await engine.dispose()
        finally:
            close_by.reset(token)
            self.greenlets = Greenlets()  # only their own thread can end the others

    def _note_connection(self, connection: Any, _record: ConnectionPoolEntry) -> None:
        self._connections.add(connection.driver_connection)

    def _abandon_connections(self, *, is_fork: bool) -> None:
        if is_fork:
            # Keep these pools: their finalizers would unregister the parent's sockets from its
            # event loop.
            self._inherited_pools += [engine.pool for engine in self._engines]
        elif self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("another event loop uses this Database: create one for each loop")
        else:
            for connection in self._connections:
                shut_down(connection)
        self._connections.clear()
        self.greenlets = Greenlets()
        for engine in self._engines:
            engine.sync_engine.dispose(close=False)


def shut_down(connection: Any) -> None:
    """End a connection whose event loop has ended, so that its transport can no longer do it.

    Otherwise the server would count it until the garbage collector finds it.
    """
    connected = connection._transport.get_extra_info("socket")  # there is no public way
    # uvloop has other sockets, and closes them when it ends.
    if isinstance(connected, TransportSocket):
        with suppress(OSError):  # it is closed already
            connected.shutdown(socket.SHUT_RDWR)
