"""What a database error means to a caller, the same for every driver: the one table of faults."""

import logging
import time
from enum import Enum, auto
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from ..settings import Settings
from . import asyncpg_driver as driver
from .base import RefusedValueError
{% endcall %}

logger = logging.getLogger(__name__)

# What drivers raise as it is: asyncpg after its command_timeout, psycopg for a lone surrogate.
BARE = (TimeoutError, UnicodeEncodeError)
{% if cookiecutter.engine == "async" %}
REFUSAL_TIMEOUT = 1.0  # seconds
{% endif %}
# Seconds between two lines about one cause.
LOG_INTERVAL = 5.0
_last_logged: dict[str, float] = {}


class OutcomeUnknownError(OperationalError):
    """The connection was lost during COMMIT, or during a write by fetch(): it may be committed."""


class Fault(Enum):
    """Kinds of failure that are not the program's own."""

    UNAVAILABLE = auto()
    """No connection, or none free, or too much contention: try again later."""
    TIMED_OUT = auto()
    """The statement took longer than its timeout."""
    OUTCOME_UNKNOWN = auto()
    """The connection was lost during COMMIT: the write may have been done."""
    CONFLICT = auto()
    """The write conflicts with existing data: unique, foreign key, exclusion."""
    STALE = auto()
    """Somebody else has changed the row since it was read."""
    INVALID = auto()
    """A value breaks a CHECK of the table, or does not fit its column."""


# https://www.postgresql.org/docs/current/errcodes-appendix.html
SQLSTATES = {
    "08007": Fault.OUTCOME_UNKNOWN,
    "22000": Fault.INVALID,  # the driver cannot encode the value
    "22001": Fault.INVALID,  # too long
    "22003": Fault.INVALID,  # a number out of range
    "22007": Fault.INVALID,  # not a date or time
    "22008": Fault.INVALID,  # a date or time out of range
    "22021": Fault.INVALID,  # not a text of the encoding, such as NUL
    "22025": Fault.INVALID,  # a LIKE pattern that ends in its escape character
    "2201B": Fault.INVALID,  # not a regular expression
    "22P02": Fault.INVALID,  # not a value of the type
    "22P05": Fault.INVALID,  # NUL in JSON
    "23001": Fault.CONFLICT,
    "23503": Fault.CONFLICT,
    "23505": Fault.CONFLICT,
    "23514": Fault.INVALID,
    "23P01": Fault.CONFLICT,
    "25P03": Fault.UNAVAILABLE,  # idle_in_transaction_session_timeout ended the connection
    "25P04": Fault.UNAVAILABLE,  # transaction_timeout
    "3D000": Fault.UNAVAILABLE,  # the database does not exist
    "40001": Fault.UNAVAILABLE,  # serialization failure, after its retries
    "40003": Fault.OUTCOME_UNKNOWN,
    "40P01": Fault.UNAVAILABLE,  # deadlock, after its retries
    "55P03": Fault.UNAVAILABLE,  # lock not available within lock_timeout
    "57014": Fault.TIMED_OUT,  # statement_timeout
    "58030": Fault.UNAVAILABLE,  # the disk cannot be read or written
}
CLASSES = {
    "08": Fault.UNAVAILABLE,  # connection
    "28": Fault.UNAVAILABLE,  # authentication
    "53": Fault.UNAVAILABLE,  # too many connections, disk full, out of memory
    "57": Fault.UNAVAILABLE,  # the server starts, shuts down, crashed, or ended this connection
}
# Serialization failure and deadlock: the transaction had no effect, and a retry may succeed.
RETRYABLE = {"40001", "40P01"}


def sqlstate_of(error: BaseException | None) -> str | None:
    """Return the SQLSTATE that the server gave, if it gave one."""
    if not isinstance(error, DBAPIError):
        return None
    sqlstate: str | None = getattr(error.orig, "sqlstate", None)
    return sqlstate


def constraint_of(error: DBAPIError) -> str | None:
    """Return the name of the constraint that was violated, if one was."""
    return driver.constraint_name(error.orig)


def is_still_referred_to(error: DBAPIError) -> bool:
    """Whether a foreign key was violated from its other end: others refer to the deleted row."""
    is_delete = (error.statement or "").lstrip().upper().startswith("DELETE")
    return sqlstate_of(error) == "23001" or (sqlstate_of(error) == "23503" and is_delete)


def fault_of(error: BaseException) -> Fault | None:
    """Return the fault behind an exception; None for a bug (SQL, NOT NULL, a write in a read)."""
    if isinstance(error, PoolTimeoutError):
        return Fault.UNAVAILABLE
    if isinstance(error, StaleDataError):
        return Fault.STALE
    if isinstance(error, OutcomeUnknownError):
        return Fault.OUTCOME_UNKNOWN
    if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
        # A column's type refused the value. Enum raises a bare LookupError; KeyError is a bug.
        is_refusal = isinstance(error.orig, ValueError) or type(error.orig) is LookupError
        return Fault.INVALID if is_refusal else None
    if not isinstance(error, DBAPIError):
        return None
    sqlstate = sqlstate_of(error) or ""
    fault = SQLSTATES.get(sqlstate) or CLASSES.get(sqlstate[:2])
    if error.connection_invalidated and fault is not Fault.OUTCOME_UNKNOWN:
        return Fault.UNAVAILABLE  # no connection could be had, it was lost, or it was of no use
    if not sqlstate and isinstance(error, DataError) and error.statement:
        return Fault.INVALID  # the driver cannot send the value, such as NUL in a text
    return fault


def is_useless(error: BaseException, *, read_only: bool) -> bool:
    """Whether to replace the connection after this error, though it may still be open."""
    # A server that has become read-only: another one may be the primary now.
    is_demoted = getattr(error, "sqlstate", None) == "25006" and not read_only
    return is_demoted or isinstance(error, TimeoutError) or driver.is_outdated_plan(error)


def report_errors(engine: Engine, settings: Settings, *, read_only: bool) -> None:
    """Say which errors lose the connection, and leave values out: they are people's data."""

    def report(context: ExceptionContext) -> BaseException | None:
        error, shown = context.original_exception, context.sqlalchemy_exception
        if context.connection is None or is_useless(error, read_only=read_only):
            context.is_disconnect = True
{% if cookiecutter.engine == "async" %}
        elif driver.is_refusal(error) and not context.is_disconnect:
            # The server waits for the rest of the statement. In AUTOCOMMIT it would take it for a
            # part of the next transaction.
            driver.responds(context.connection.connection.dbapi_connection, REFUSAL_TIMEOUT)
{% endif %}
        if isinstance(error, BARE):
            lost = context.is_disconnect
            return as_sqlalchemy_error(error, context.statement, None, settings, lost=lost)
        if shown is not None and not settings.database_show_values:
            hide_values(shown, error)
        return None

    event.listen(engine, "handle_error", report)


def as_sqlalchemy_error(
    error: BaseException,
    sql: str | None,
    parameters: Any,
    settings: Settings,
    *,
    lost: bool,
) -> BaseException:
    """Return what SQLAlchemy raises for an error of the driver; a bug stays as it is."""
    kind = driver.sqlalchemy_class(error)
    if kind is None:
        return error
    hide = not settings.database_show_values
    shown = kind(sql, parameters, error, hide_parameters=hide, connection_invalidated=lost)
    if hide:
        hide_values(shown, error)
    return shown


def hide_values(shown: SQLAlchemyError, error: BaseException) -> None:
    """Leave out what names a value or shows a row. SQLAlchemy itself hides its parameters."""
    if isinstance(error, RefusedValueError) or not isinstance(shown, StatementError):
        return
    if isinstance(shown, DBAPIError):
        message = driver.without_values(error)
    else:
        message = "a type refuses a value, which DATABASE_SHOW_VALUES=true shows"
        error.args = (message,)
        error.__cause__ = error.__context__ = None
    shown.args = (f"({type(error).__module__}.{type(error).__name__}) {message}",)


def unknown_outcome(error: BaseException) -> OutcomeUnknownError | None:
    """Return the error for a connection that was lost when the server had been asked to commit."""
    if not isinstance(error, DBAPIError) or not error.connection_invalidated:
        return None
    # An InterfaceError says that nothing was sent. Another SQLSTATE: the server has refused.
    if isinstance(error, InterfaceError) or (sqlstate_of(error) or "08")[:2] not in {"08", "57"}:
        return None
    original: Any = error.orig
    return OutcomeUnknownError(
        error.statement,
        None,
        original,
        hide_parameters=True,
        connection_invalidated=True,
    )


def log_cause(error: BaseException) -> None:
    """Log the SQLSTATE and the driver's words: one line for each cause in LOG_INTERVAL seconds."""
    words = str(error.orig if isinstance(error, DBAPIError) else error) or type(error).__name__
    cause = sqlstate_of(error) or words
    now = time.monotonic()
    for logged in [each for each, at in _last_logged.items() if now - at >= LOG_INTERVAL]:
        _last_logged.pop(logged, None)
    if cause not in _last_logged:
        _last_logged[cause] = now
        logger.warning("the database failed, SQLSTATE %s: %s", sqlstate_of(error), words)
