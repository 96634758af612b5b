"""What a database error means to a caller, the same for every driver: the one table of faults."""

import logging
import time
from enum import Enum, auto
from typing import Any

from sqlalchemy import Engine, event, exc
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm.exc import StaleDataError

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from ..settings import Settings
from . import asyncpg_driver as driver
from .base import RefusedValueError
{% endcall %}

logger = logging.getLogger(__name__)

# Seconds between two lines about one cause.
LOG_INTERVAL = 5.0
_last_logged: dict[str, float] = {}


class OutcomeUnknownError(exc.OperationalError):
    """The connection was lost during COMMIT, or during a write by fetch(): it may be committed."""


class Fault(Enum):
    """Kinds of failure that are not the program's own."""

    UNAVAILABLE = auto()  # no connection, or none free, or too much contention: try again later
    TIMED_OUT = auto()  # the statement took longer than its timeout
    OUTCOME_UNKNOWN = auto()  # the connection was lost during COMMIT: the write may have been done
    CONFLICT = auto()  # the write conflicts with existing data: unique, foreign key, exclusion
    STALE = auto()  # somebody else has changed the row since it was read
    INVALID = auto()  # a value breaks a CHECK of the table, or does not fit its column


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
    # Classes
    "08": Fault.UNAVAILABLE,  # connection
    "28": Fault.UNAVAILABLE,  # authentication
    "53": Fault.UNAVAILABLE,  # too many connections, disk full, out of memory
    "57": Fault.UNAVAILABLE,  # the server starts, shuts down, crashed, or ended this connection
}
# The connection was lost, by what the server or the driver said last, if anything.
LOST = {"08", "57", ""}
# Serialization failure and deadlock: the transaction had no effect, and a retry may succeed.
RETRYABLE = {"40001", "40P01"}


def sqlstate_of(error: BaseException) -> str:
    """Return the SQLSTATE that the server gave, or ""."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def constraint_of(error: exc.DBAPIError) -> str | None:
    """Return the name of the constraint that was violated, if one was."""
    return driver.constraint_name(error.orig)


def is_still_referred_to(error: exc.DBAPIError) -> bool:
    """Whether a foreign key was violated from its other end: others refer to the deleted row."""
    is_delete = (error.statement or "").lstrip().upper().startswith("DELETE")
    return sqlstate_of(error) == "23001" or (sqlstate_of(error) == "23503" and is_delete)


def fault_of(error: BaseException) -> Fault | None:
    """Return the fault behind an exception; None for a bug (SQL, NOT NULL, a write in a read)."""
    if isinstance(error, exc.TimeoutError):
        return Fault.UNAVAILABLE
    if isinstance(error, StaleDataError):
        return Fault.STALE
    if isinstance(error, OutcomeUnknownError):
        return Fault.OUTCOME_UNKNOWN
    if not isinstance(error, exc.DBAPIError):
        # A column's type refused a value. Enum raises a bare LookupError; KeyError is a bug.
        cause = error.orig if isinstance(error, exc.StatementError) else None
        is_refusal = isinstance(cause, ValueError) or type(cause) is LookupError
        return Fault.INVALID if is_refusal else None
    sqlstate = sqlstate_of(error)
    fault = SQLSTATES.get(sqlstate) or SQLSTATES.get(sqlstate[:2])
    if sqlstate == "25P01":
        return None
    if error.connection_invalidated and fault is not Fault.OUTCOME_UNKNOWN:
        return Fault.UNAVAILABLE  # no connection could be had, it was lost, or it was of no use
    if not sqlstate and isinstance(error, exc.DataError) and error.statement:
        return Fault.INVALID  # the driver cannot send the value, such as NUL in a text
    return fault


def is_useless(error: BaseException, *, read_only: bool) -> bool:
    """Whether to replace the connection after this error, though it may still be open."""
    sqlstate = getattr(error, "sqlstate", None)
    # A server that has become read-only: another one may be the primary now. And a stream outside
    # of a transaction, after which a connection may be unable to begin one.
    is_spoiled = sqlstate == "25P01" or (sqlstate == "25006" and not read_only)
    return is_spoiled or isinstance(error, driver.TIMEOUTS) or driver.is_outdated_plan(error)


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
            adapted = context.connection.connection.dbapi_connection
            driver.responds(adapted, settings.database_connect_timeout)
        if isinstance(error, TimeoutError):  # asyncpg's own, after its command_timeout
            return exc.OperationalError(context.statement, None, error, True, True)
{% else %}
        if isinstance(error, UnicodeEncodeError):  # psycopg raises it as it is
            return exc.DataError(context.statement, None, error, True)
{% endif %}
        if context.connection and shown and not settings.database_show_values:
            hide_values(shown, error)
        return None

    event.listen(engine, "handle_error", report)


def hide_values(shown: exc.SQLAlchemyError, error: BaseException) -> None:
    """Leave out what names a value or shows a row. SQLAlchemy itself hides its parameters."""
    if isinstance(error, RefusedValueError | exc.SQLAlchemyError):
        return  # these name no value
    if isinstance(shown, exc.DBAPIError):
        message = driver.without_values(error)
    else:
        message = "a type refuses a value, which DATABASE_SHOW_VALUES=true shows"
        error.args = (message,)
        error.__cause__ = error.__context__ = None
    shown.args = (f"({type(error).__module__}.{type(error).__name__}) {message}",)


def as_unknown(error: exc.DBAPIError) -> exc.DBAPIError:
    """Return OutcomeUnknownError if the connection was lost when the server was to commit."""
    # An InterfaceError says that nothing was sent. Another SQLSTATE: the server has refused.
    is_refused = isinstance(error, exc.InterfaceError) or sqlstate_of(error)[:2] not in LOST
    if is_refused or not error.connection_invalidated:
        return error
    original: Any = error.orig
    return OutcomeUnknownError(error.statement, None, original, True, True)


def log_cause(error: BaseException) -> None:
    """Log the SQLSTATE and the driver's words: one line for each cause in LOG_INTERVAL seconds."""
    words = str(getattr(error, "orig", None) or error) or type(error).__name__
    cause = sqlstate_of(error) or words
    now = time.monotonic()
    for logged in [each for each, at in _last_logged.items() if now - at >= LOG_INTERVAL]:
        _last_logged.pop(logged, None)
    if cause not in _last_logged:
        _last_logged[cause] = now
        logger.warning("the database failed, SQLSTATE %s: %s", sqlstate_of(error) or None, words)
