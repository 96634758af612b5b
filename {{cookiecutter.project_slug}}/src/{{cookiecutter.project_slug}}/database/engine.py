"""Where engines are made: driver arguments, timeouts, the pool, the check of idle connections."""

{% if cookiecutter.engine == "sync" %}
import math
import selectors
{% else %}
import os
{% endif %}
import time
from collections.abc import Callable, Mapping
{% if cookiecutter.engine == "async" %}
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import URL, Connection, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import InvalidatePoolError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
{% else %}
from typing import Any, cast

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import InvalidatePoolError
{% endif %}
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from ..settings import Settings
from .telemetry import log_slow_statements

APPLICATION_NAME = "{{ cookiecutter.project_slug }}"
# Seconds unused after which a connection is asked whether it still works. Asking at every checkout
# (pool_pre_ping) costs a fast read a fifth of its speed.
PING_AFTER_IDLE = 10.0
# Seconds beyond statement_timeout after which a silent server is taken for lost.
SILENCE = 5.0
{% if cookiecutter.engine == "async" %}
# What asyncpg raises in place of an answer.
NO_ANSWER = (OSError, InterfaceError, PostgresError)
{% endif %}


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
def create_database_engine(url: URL, settings: Settings, *, read_only: bool = False) -> AsyncEngine:
    """An engine with the timeouts and the pool of the settings; it connects when first used.

    With `read_only` the server refuses writes, however they are spelt, and a statement is a
    transaction of its own (AUTOCOMMIT): there is no BEGIN and no ROLLBACK to send. Through
    PgBouncer, where a connection's parameters do not last, it is a READ ONLY transaction.
    """
    parameters = session_parameters(settings)
    pgbouncer = settings.database_pgbouncer
    options: dict[str, Any] = {}
    if read_only and not pgbouncer:
        parameters["default_transaction_read_only"] = "on"
        options["isolation_level"] = "AUTOCOMMIT"
    elif read_only:
        parameters["transaction_read_only"] = "on"
    engine = create_async_engine(
        url.difference_update_query(url.query.keys() - {"host", "port"}),
        connect_args=connect_arguments(url, settings, {} if pgbouncer else parameters),
        hide_parameters=True,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout,
        pool_recycle=settings.database_pool_recycle,
        pool_use_lifo=True,
        **options,
    )
{% endcall %}
{% if cookiecutter.engine == "async" %}
    core = engine.sync_engine  # where the events are
    event.listen(core, "do_connect", connect)
    event.listen(core, "handle_error", translate_driver_timeout)
    event.listen(core, "checkin", note_idle)
    event.listen(core, "checkout", check_idle(settings.database_connect_timeout))
    if pgbouncer:
        event.listen(core, "begin", set_local(parameters))
    log_slow_statements(core, settings.database_slow_query)
    return engine
{% else %}
    patience = settings.database_statement_timeout + SILENCE
    event.listen(engine, "do_connect", connect_within(patience))
    event.listen(engine, "checkin", note_idle)
    event.listen(engine, "checkout", check_idle(settings.database_connect_timeout))
    if pgbouncer:
        event.listen(engine, "begin", set_local(parameters))
    log_slow_statements(engine, settings.database_slow_query)
    return engine
{% endif %}


def session_parameters(settings: Settings) -> dict[str, str]:
    """The server's parameters of every connection; durations in milliseconds."""

    def milliseconds(seconds: float) -> str:
        return str(round(seconds * 1000))

    return {
        "timezone": "UTC",
        "jit": "off",  # compiling a short statement takes longer than running it
        "statement_timeout": milliseconds(settings.database_statement_timeout),
        "lock_timeout": milliseconds(settings.database_lock_timeout),
        "idle_in_transaction_session_timeout": milliseconds(
            settings.database_idle_in_transaction_timeout,
        ),
    }


{% if cookiecutter.engine == "async" %}
def connect_arguments(
    url: URL,
    settings: Settings,
    parameters: Mapping[str, str],
) -> dict[str, Any]:
    """The arguments of asyncpg.connect(), with libpq's names of the URL translated."""
    query = {name: str(value) for name, value in url.query.items()}
    ignore_unreadable_home()
    # asyncpg reads the TLS parameters, files included, from a DSN only.
    dsn = {name: query[name] for name in query if name.startswith(("ssl", "target_"))}
    arguments: dict[str, Any] = {
        "dsn": f"postgresql://?{urlencode(dsn)}",
        "timeout": settings.database_connect_timeout,
        "command_timeout": settings.database_statement_timeout + SILENCE,
        "server_settings": {
            "application_name": query.get("application_name", APPLICATION_NAME),
            **parameters,
        },
    }
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
    except (OSError, RuntimeError):
        return  # there is none, which asyncpg knows


def connect(
    dialect: Dialect,
    _record: ConnectionPoolEntry,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> DBAPIConnection:
    """Connects as other drivers do: past hosts that are silent, and failing with OperationalError.

    asyncpg's timeout is one for all hosts together, and most of its refusals are bare exceptions.
    """
    dbapi = dialect.loaded_dbapi
    hosts, ports = kwargs.get("host"), kwargs.get("port", [])
    try:
        return dialect.connect(*args, **kwargs)
    except (OSError, dbapi.Error) as error:
        if isinstance(error, TimeoutError) and isinstance(hosts, list) and len(hosts) > 1:
            others = {"host": hosts[1:], "port": ports[1:]}
            return connect(dialect, _record, args, kwargs | others)
        reason = str(error) or "timed out"
        raise dbapi.OperationalError(f"cannot connect: {reason}", error) from error


def translate_driver_timeout(context: ExceptionContext) -> None:
    """Makes asyncpg's bare TimeoutError (command_timeout) the loss of the connection that it is."""
    error = context.original_exception
    if isinstance(error, TimeoutError):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False
        raise OperationalError(
            context.statement,
            None,
            error,
            hide_parameters=True,
            connection_invalidated=True,
        )


def may_be_lost(connection: Any) -> bool:
    """Whether the driver knows that the connection is closed; costs no round trip."""
    closed: bool = connection.driver_connection.is_closed()
    return closed


def answers(connection: Any, timeout: float) -> bool:
    """Whether the server answers on this connection; costs a round trip."""
    try:
        connection.run_async(lambda driver: driver.execute("SELECT 1", timeout=timeout))
    except NO_ANSWER:
        return False
    return True
{% else %}
def connect_arguments(
    url: URL,
    settings: Settings,
    parameters: Mapping[str, str],
) -> dict[str, Any]:
    """The arguments of psycopg.connect(), the URL's own among them."""
    query = {name: str(value) for name, value in url.query.items()}
    options = [f"-c {name}={value}" for name, value in parameters.items()]
    if "options" in query:
        options.insert(0, query["options"])
    arguments: dict[str, Any] = {
        "application_name": APPLICATION_NAME,
        **query,
        "connect_timeout": math.ceil(settings.database_connect_timeout),
        "options": " ".join(options),
        # An idle connection stays known to the firewalls on its way.
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    if settings.database_pgbouncer:
        # A prepared statement belongs to one server connection, and PgBouncer changes that.
        arguments["prepare_threshold"] = None
    return arguments


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that takes a server which is silent for `patience` seconds for lost.

    libpq would wait for ever, unless the kernel on the other side is gone too.
    """

    patience: float | None = None

    def wait(
        self,
        gen: PQGen[RV],
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> RV:
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # the answer may still come, and must not be the next one's
            raise


def connect_within(patience: float) -> Callable[..., DBAPIConnection]:
    """A listener that makes connections with that patience."""

    def connect(
        _dialect: Dialect,
        _record: ConnectionPoolEntry,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> DBAPIConnection:
        connection = BoundedConnection.connect(*args, **kwargs)
        connection.patience = patience
        return cast(DBAPIConnection, connection)

    return connect


def may_be_lost(connection: BoundedConnection) -> bool:
    """Whether the server has sent something to an idle connection, such as that it shuts down."""
    if connection.closed:
        return True
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(timeout=0))


def answers(connection: BoundedConnection, timeout: float) -> bool:
    """Whether the server answers on this connection; costs a round trip."""
    patience, autocommit = connection.patience, connection.autocommit
    try:
        connection.patience, connection.autocommit = timeout, True
        connection.execute("")
        connection.patience, connection.autocommit = patience, autocommit
    except psycopg.Error:
        return False
    return True
{% endif %}


def note_idle(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    """Notes when a connection came back to the pool."""
    record.info["idle_since"] = time.monotonic()


def check_idle(timeout: float) -> Callable[..., None]:
    """A listener that has the whole pool replaced when a connection in it turns out to be lost."""

    def check(
        connection: Any,
        record: ConnectionPoolEntry,
        _proxy: PoolProxiedConnection,
    ) -> None:
        idle_since = record.info.get("idle_since")
        if idle_since is None:
            return  # just connected
        lost_or_old = may_be_lost(connection) or time.monotonic() - idle_since > PING_AFTER_IDLE
        if lost_or_old and not answers(connection, timeout):
            raise InvalidatePoolError

    return check


def set_local(parameters: Mapping[str, str]) -> Callable[[Connection], None]:
    """A listener that sets the parameters at the beginning of each transaction, for it alone."""
    calls = [f"set_config('{name}', '{value}', true)" for name, value in parameters.items()]
    statement = f"SELECT {', '.join(calls)}"

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return begin
