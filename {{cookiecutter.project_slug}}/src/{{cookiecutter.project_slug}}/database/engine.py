"""Where engines are made: the pool, the timeouts, the check of connections before and after use."""

import math
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr
{% if cookiecutter.engine == "async" %}
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import InvalidatePoolError, MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
{% else %}
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError
{% endif %}
from sqlalchemy.pool import ConnectionPoolEntry

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from ..settings import Settings
from . import asyncpg_driver as driver
from .faults import report_errors
from .statements import log_slow_statements

# Seconds unused after which a connection is tested before its next use. A test at every checkout
# (pool_pre_ping) costs a fast read a fifth of its speed.
PING_AFTER_IDLE = 10.0


def create_database_engine(
    url: SecretStr,
    settings: Settings,
    *,
    read_only: bool = False,
    ping_after_idle: float = math.inf,
) -> AsyncEngine:
    """Return an engine with the pool and the timeouts of the settings; it connects at first use.

    With `read_only` PostgreSQL rejects every write, and each statement is a transaction of its own
    (AUTOCOMMIT). PgBouncer drops a connection's parameters, so there each unit of work is a READ
    ONLY transaction.
    """
    secret, pgbouncer = url.get_secret_value(), settings.database_pgbouncer
    parameters, password = session_parameters(settings), password_of(secret, settings)
    is_reader = read_only and not pgbouncer
    options: dict[str, Any] = {}
    if is_reader:
        options = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}

    def connect() -> Any:
        sent = {} if pgbouncer else parameters
{% if cookiecutter.engine == "async" %}
        return driver.open_connection(engine.dialect, secret, settings, sent, password)
{% else %}
        return driver.open_connection(secret, settings, sent, password)
{% endif %}

    engine = create_async_engine(
        url_to_show(secret),
        creator=connect,
        hide_parameters=not settings.database_show_values,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout,
        pool_use_lifo=True,
        **options,
    )
    check_connections(engine.sync_engine, settings, ping_after_idle, is_reader=is_reader)
    report_errors(engine.sync_engine, settings, read_only=read_only)
    log_slow_statements(engine.sync_engine, settings.database_slow_query)
{% if cookiecutter.engine == "async" %}
    driver.add_hooks(engine.sync_engine)
{% endif %}
    if pgbouncer:
        extra = {"transaction_read_only": "on"} if read_only else {}
        set_at_begin(engine.sync_engine, parameters | extra)
    return engine
{% endcall %}


def url_to_show(secret: str) -> URL:
    """Return the URL of the first host, without password: tracing and the like read engine.url."""
    parts = urlsplit(secret)
    user, _, hosts = parts.netloc.rpartition("@")
    first = urlsplit(f"//{hosts.partition(',')[0]}")
    return URL.create(
        driver.NAME,
        username=user.partition(":")[0],
        host=first.hostname,
        port=first.port,
        database=parts.path[1:],
    )


def session_parameters(settings: Settings) -> dict[str, str]:
    """Return the server's parameters of every connection; durations are in milliseconds."""
    durations = {
        "statement_timeout": settings.database_statement_timeout,
        "lock_timeout": settings.database_lock_timeout,
        "idle_in_transaction_session_timeout": settings.database_idle_in_transaction_timeout,
    }
    return {
        "timezone": "UTC",
        "jit": "off",  # compiling a short statement takes longer than running it
        **{name: str(round(seconds * 1000)) for name, seconds in durations.items()},
    }


def password_of(secret: str, settings: Settings) -> Callable[[], str] | None:
    """Return what gives the password of each new connection; None leaves it to the URL.

    Service and migrations ask here. For a token that expires, return a function that gets one.
    """
    url, path = urlsplit(secret), settings.database_password_file
    if path is None or url.password or "password" in parse_qs(url.query):
        return None

    def read() -> str:
        try:
            return path.read_text("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not UTF-8") from None

    return read


def check_connections(
    engine: Engine,
    settings: Settings,
    ping_after_idle: float,
    *,
    is_reader: bool,
) -> None:
    """Replace connections that are lost, too old, or returned within a transaction."""

    def prepare(connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["connected_at"] = time.monotonic()
        if is_reader:
            # Not a parameter of the connection: to target_session_attrs, that would make a primary
            # look like a standby.
            cursor = connection.cursor()
            cursor.execute("SET default_transaction_read_only = on")
            cursor.close()

    def check_in(connection: Any, record: ConnectionPoolEntry) -> None:
        if connection is None:
            return  # it is closed already
        now = time.monotonic()
        too_old = now - record.info["connected_at"] > settings.database_pool_recycle
        if too_old or driver.is_in_transaction(connection):
            record.invalidate()
        elif not record.info.pop("is_unasked", False):
            record.info["idle_since"] = now

    def check_out(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if driver.is_lost(connection):
            raise InvalidatePoolError("an idle connection was lost")
        now = time.monotonic()
        if now - record.info.get("idle_since", now) < min(ping_after_idle, PING_AFTER_IDLE):
            return
{% if cookiecutter.engine == "async" %}
        try:
            is_alive = driver.responds(connection, settings.database_connect_timeout)
        except MissingGreenlet:
            # fetch() takes connections where nobody can ask the server. It gives this one back.
            record.info["is_unasked"] = True
            return
{% else %}
        is_alive = driver.responds(connection, settings.database_connect_timeout)
{% endif %}
        if not is_alive:
            raise InvalidatePoolError("an idle connection does not answer")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "checkin", check_in)
    event.listen(engine, "checkout", check_out)


def set_at_begin(engine: Engine, parameters: dict[str, str]) -> None:
    """Set the parameters for each transaction only, as SET LOCAL does."""
    calls = [f"set_config('{name}', '{value}', true)" for name, value in parameters.items()]

    def execute(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT {', '.join(calls)}")

    event.listen(engine, "begin", execute)
