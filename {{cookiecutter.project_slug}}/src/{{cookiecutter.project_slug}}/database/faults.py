"""What a database error means to a caller, the same for every driver: the one table of faults."""

import logging
import re
import time
from enum import Enum, auto

from sqlalchemy.exc import DataError, DBAPIError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from . import asyncpg_driver as driver
from .hidden_values import public_message
{% endcall %}

logger = logging.getLogger(__name__)

# Seconds between two lines about one cause.
LOG_INTERVAL = 5.0
_last_logged: dict[str, float] = {}


class OutcomeUnknownError(OperationalError):
    """The connection was lost during COMMIT: the transaction may have been committed, or not."""


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
    "25P03": Fault.UNAVAILABLE,  # the connection was ended by idle_in_transaction_session_timeout
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


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE that the server gave, if it gave one."""
    if not isinstance(error, DBAPIError):
        return None
    sqlstate: str | None = getattr(error.orig, "sqlstate", None)
    return sqlstate


def constraint_of(error: DBAPIError) -> str | None:
    """Return the name of the constraint that was violated, if one was."""
    return driver.constraint_name(error.driver_exception)


def is_still_referred_to(error: DBAPIError) -> bool:
    """Whether a foreign key was violated from its other end: others refer to the row."""
    if sqlstate_of(error) == "23001":
        return True
    # Both ends have one SQLSTATE. In every language the message names the table and the
    # constraint, and then the table that refers to the row.
    names = re.findall(r'["«»„“].+?["»«“”]', driver.primary_message(error.driver_exception))
    return sqlstate_of(error) == "23503" and len(names) > 2


def is_refusal(error: BaseException | None) -> bool:
    """Whether a column's type has refused a value before it was sent."""
    # Enum raises a bare LookupError. Its subclasses KeyError and IndexError are bugs.
    return isinstance(error, ValueError) or type(error) is LookupError


def fault_of(error: BaseException) -> Fault | None:
    """Return the fault behind an exception; None for a bug (SQL, NOT NULL, a write in a read)."""
    if isinstance(error, PoolTimeoutError):
        return Fault.UNAVAILABLE
    if isinstance(error, StaleDataError):
        return Fault.STALE
    if isinstance(error, OutcomeUnknownError):
        return Fault.OUTCOME_UNKNOWN
    if isinstance(error, StatementError) and is_refusal(error.orig):
        return Fault.INVALID
    if not isinstance(error, DBAPIError):
        return None
    sqlstate = sqlstate_of(error) or ""
    fault = SQLSTATES.get(sqlstate) or CLASSES.get(sqlstate[:2])
    if error.connection_invalidated and fault is not Fault.OUTCOME_UNKNOWN:
        return Fault.UNAVAILABLE  # no connection could be had, it was lost, or it was of no use
    if not sqlstate and isinstance(error, DataError) and error.statement:
        return Fault.INVALID  # the driver cannot send the value, such as NUL in a text
    return fault


def log_cause(error: BaseException) -> None:
    """Log the SQLSTATE and the driver's words: one line for each cause in LOG_INTERVAL seconds.

    The words hold no password, no SQL and no value of a row.
    """
    driver_error = error.driver_exception if isinstance(error, DBAPIError) else error
    has_parameters = isinstance(error, DBAPIError) and bool(error.params)
    words = public_message(driver_error or error, has_parameters=has_parameters)
    words = words or type(driver_error).__name__
    cause = sqlstate_of(error) or words
    now = time.monotonic()
    for logged in [each for each, at in _last_logged.items() if now - at >= LOG_INTERVAL]:
        _last_logged.pop(logged, None)
    if cause not in _last_logged:
        _last_logged[cause] = now
        logger.warning("the database failed, SQLSTATE %s: %s", sqlstate_of(error), words)
