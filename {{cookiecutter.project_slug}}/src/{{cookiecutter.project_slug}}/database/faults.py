"""What a database error means to a caller, the same for every driver: the one table of faults."""

from enum import Enum, auto

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from . import asyncpg_driver as driver
{% endcall %}


class Fault(Enum):
    """Kinds of failure that are not the program's own."""

    UNAVAILABLE = auto()
    """No connection, or none free, or too much contention: try again later."""
    TIMED_OUT = auto()
    """The statement took longer than its timeout."""
    CONFLICT = auto()
    """The write conflicts with existing data: unique, foreign key, exclusion."""
    STALE = auto()
    """Somebody else has changed the row since it was read."""
    INVALID = auto()
    """The write breaks a CHECK of the table."""


# https://www.postgresql.org/docs/current/errcodes-appendix.html
SQLSTATES = {
    "23503": Fault.CONFLICT,
    "23505": Fault.CONFLICT,
    "23514": Fault.INVALID,
    "23P01": Fault.CONFLICT,
    "25P03": Fault.UNAVAILABLE,  # the connection was ended by idle_in_transaction_session_timeout
    "3D000": Fault.UNAVAILABLE,  # the database does not exist
    "40001": Fault.UNAVAILABLE,  # serialization failure, after its retries
    "40P01": Fault.UNAVAILABLE,  # deadlock, after its retries
    "55P03": Fault.UNAVAILABLE,  # lock not available within lock_timeout
    "57014": Fault.TIMED_OUT,  # statement_timeout
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


def fault_of(error: BaseException) -> Fault | None:
    """Return the fault behind an exception; None for a bug (SQL, NOT NULL, a write in a read)."""
    if isinstance(error, PoolTimeoutError):
        return Fault.UNAVAILABLE
    if isinstance(error, StaleDataError):
        return Fault.STALE
    if not isinstance(error, DBAPIError):
        return None
    if sqlstate := sqlstate_of(error):
        return SQLSTATES.get(sqlstate) or CLASSES.get(sqlstate[:2])
    # Without an SQLSTATE the server did not answer: it refused, is unreachable, or went away.
    lost = error.connection_invalidated or isinstance(error, OperationalError)
    return Fault.UNAVAILABLE if lost else None
