"""Where engines are made: the pool, the timeouts, PgBouncer, the check of idle connections."""

import math
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

{% if cookiecutter.engine == "async" %}
from sqlalchemy import URL, Connection, Engine, Numeric, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
{% else %}
from sqlalchemy import URL, Connection, Engine, Numeric, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import InvalidatePoolError
{% endif %}
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from ..settings import Settings
from . import asyncpg_driver as driver
from .faults import OutcomeUnknownError
from .hidden_values import RefusedValueError, hide_values
from .slow_statements import log_slow_statements
from .streams import watch_streams

APPLICATION_NAME = __name__.partition(".")[0]
# Seconds unused after which a connection is tested before its next use. A test at every checkout
# (pool_pre_ping) costs a fast read a fifth of its speed.
PING_AFTER_IDLE = 10.0
# What target_session_attrs asks for, without asking for default_transaction_read_only: the drivers
# look at that too, and find the value that a read-only engine has sent.
RECOVERY_ATTRIBUTES = {"read-write": "primary", "read-only": "standby"}
# The server ended the connection before it began to commit: idle_in_transaction_session_timeout,
# transaction_timeout.
NOT_COMMITTED = {"25P03", "25P04"}


def create_database_engine(
    url: URL,
    settings: Settings,
    *,
    read_only: bool = False,
    ping_after_idle: float = math.inf,
) -> AsyncEngine:
    """Return an engine with the pool and the timeouts of the settings; it connects at first use.

    With `read_only` PostgreSQL rejects every write, and each statement is a transaction of its own
    (AUTOCOMMIT): there is no BEGIN and no ROLLBACK to send. PgBouncer drops a connection's
    parameters, so there each unit of work is a READ ONLY transaction.

    A connection that was idle for `ping_after_idle` seconds, or for PING_AFTER_IDLE, is tested
    before it is used.
    """
    parameters = session_parameters(settings)
    pgbouncer = settings.database_pgbouncer
    options: dict[str, Any] = {}
    query: dict[str, Any] = {"application_name": APPLICATION_NAME, **url.query}
    attribute = query.get("target_session_attrs")
    if read_only and attribute in RECOVERY_ATTRIBUTES:
        query["target_session_attrs"] = RECOVERY_ATTRIBUTES[attribute]
    if read_only and not pgbouncer:
        parameters["default_transaction_read_only"] = "on"
        options["isolation_level"] = "AUTOCOMMIT"
        options["skip_autocommit_rollback"] = True
    elif read_only:
        parameters["transaction_read_only"] = "on"
    engine = create_async_engine(
        url.difference_update_query(url.query.keys() - {"host", "port"}),
        connect_args=driver.connect_arguments(
            query,
            settings,
            {} if pgbouncer else parameters,
        ),
        hide_parameters=True,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout,
        pool_recycle=settings.database_pool_recycle,
        pool_use_lifo=True,
        **options,
    )
    driver.add_hooks(engine.sync_engine, settings)
    check_numbers(engine.sync_engine)
    if settings.database_password_file and not url.password:
        read_password(engine.sync_engine, settings.database_password_file)
    check_idle_connections(engine.sync_engine, settings.database_connect_timeout, ping_after_idle)
    drop_changed_connections(engine.sync_engine, read_only=read_only and not pgbouncer)
    watch_streams(engine.sync_engine, settings.database_slow_query)
    event.listen(engine.sync_engine, "handle_error", hide_values)
    event.listen(engine.sync_engine, "handle_error", discard_useless_connection)
    if not read_only:
        event.listen(engine.sync_engine, "handle_error", discard_demoted_connection)
        report_unknown_outcomes(engine.sync_engine)
    if pgbouncer:
        set_parameters_at_begin(engine.sync_engine, parameters)
    log_slow_statements(engine.sync_engine, settings.database_slow_query)
    return engine
{% endcall %}


def session_parameters(settings: Settings) -> dict[str, str]:
    """Return the server's parameters of every connection; durations are in milliseconds."""

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


def read_password(engine: Engine, path: Path) -> None:
    """Read the password from the file for every new connection: it may have changed."""

    def read(
        dialect: Dialect,
        _record: ConnectionPoolEntry,
        _arguments: list[Any],
        named_arguments: dict[str, Any],
    ) -> None:
        try:
            named_arguments["password"] = path.read_bytes().decode().rstrip("\r\n")
        except OSError as error:
            message = f"cannot read {path}: {error.strerror}"
            raise dialect.loaded_dbapi.OperationalError(message) from error
        except UnicodeDecodeError:
            message = f"cannot read {path}: it is not UTF-8"
            raise dialect.loaded_dbapi.OperationalError(message) from None

    event.listen(engine, "do_connect", read)


def check_numbers(engine: Engine) -> None:
    """Make each NUMERIC refuse what PostgreSQL cannot hold: a driver may store it as zero."""

    def check(number: Decimal | float | None) -> Decimal | float | None:
        if isinstance(number, Decimal | int) and number:
            exact = Decimal(number)
            if exact.is_finite() and not -16_383 <= exact.adjusted() < 131_072:
                raise RefusedValueError("a number has more digits than NUMERIC can hold")
        return number

    types = engine.dialect.colspecs
    methods = {"bind_processor": lambda _type, _dialect: check}
    checked = type("CheckedNumeric", (types[Numeric],), methods)
    engine.dialect.colspecs = {**types, Numeric: checked}


def check_idle_connections(engine: Engine, timeout: float, ping_after_idle: float) -> None:
    """Replace the whole pool when one of its idle connections turns out to be lost.

    A connection that was unused for `ping_after_idle` or PING_AFTER_IDLE seconds must answer within
    `timeout` seconds.
    """

    def note_checkin(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    def check(
        connection: Any,
        record: ConnectionPoolEntry,
        _proxy: PoolProxiedConnection,
    ) -> None:
        idle_since = record.info.get("idle_since")
        if idle_since is None:
            return  # just connected
        is_old = time.monotonic() - idle_since > min(ping_after_idle, PING_AFTER_IDLE)
        if (driver.looks_closed(connection) or is_old) and not driver.responds(connection, timeout):
            raise InvalidatePoolError

    event.listen(engine, "checkin", note_checkin)
    event.listen(engine, "checkout", check)


def drop_changed_connections(engine: Engine, *, read_only: bool) -> None:
    """Close a connection that its user returns in a transaction, or, with `read_only`, writable.

    Only what the driver knows without asking the server is checked.
    """

    def drop(connection: Any, record: ConnectionPoolEntry) -> None:
        if connection is None or driver.is_closed(connection):
            return
        if driver.is_in_transaction(connection) or (read_only and driver.is_writable(connection)):
            record.invalidate()

    event.listen(engine, "checkin", drop)


def discard_useless_connection(context: ExceptionContext) -> None:
    """Take a failure to connect, and a plan that is out of date, for a lost connection."""
    if context.connection is None or driver.is_outdated_plan(context.original_exception):
        context.is_disconnect = True


def discard_demoted_connection(context: ExceptionContext) -> None:
    """Take a server that has become read-only for lost: another one may be the primary now."""
    sqlstate = getattr(context.original_exception, "sqlstate", None)
    connection = context.connection
    if sqlstate == "25006" and connection and not connection.info.get("is_read_only"):
        context.is_disconnect = True


def report_unknown_outcomes(engine: Engine) -> None:
    """Raise OutcomeUnknownError when the connection is lost during COMMIT."""

    def note_begin(connection: Connection) -> None:
        connection.info["is_committing"] = False

    def note_commit(connection: Connection) -> None:
        connection.info["is_committing"] = not driver.is_closed(connection.connection)

    def translate(context: ExceptionContext) -> OutcomeUnknownError | None:
        error, connection = context.original_exception, context.connection
        if connection is None or connection.invalidated or not isinstance(error, Exception):
            return None
        if not context.is_disconnect or not connection.info.get("is_committing"):
            return None
        if getattr(error, "sqlstate", None) in NOT_COMMITTED:
            return None
        return OutcomeUnknownError(
            None,
            None,
            error,
            hide_parameters=True,
            connection_invalidated=True,
        )

    event.listen(engine, "begin", note_begin)
    event.listen(engine, "commit", note_commit)
    event.listen(engine, "handle_error", translate)


def set_parameters_at_begin(engine: Engine, parameters: Mapping[str, str]) -> None:
    """Set the parameters for each transaction only, as SET LOCAL does."""
    calls = [f"set_config('{name}', '{value}', true)" for name, value in parameters.items()]
    statement = f"SELECT {', '.join(calls)}"

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    event.listen(engine, "begin", begin)
