"""What a database error means to a caller, the same for every driver: the one table of faults."""

from enum import Enum, auto

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError


class Fault(Enum):
    """Kinds of failure that are not the program's own."""

    UNAVAILABLE = auto()
    """No connection, or none free, or too much contention: try again later."""
    TIMED_OUT = auto()
    """The statement took longer than it may."""
    CONFLICT = auto()
    """What was written contradicts what is stored: unique, foreign key, exclusion."""
    STALE = auto()
    """The row was changed by somebody else since it was read."""
    INVALID = auto()
    """What was written breaks a CHECK of the table."""


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
    """The SQLSTATE that the server gave, if it gave one."""
    if not isinstance(error, DBAPIError):
        return None
    sqlstate: str | None = getattr(error.orig, "sqlstate", None)
    return sqlstate


def constraint_of(error: DBAPIError) -> str | None:
    """The name of the constraint that was violated, if one was."""
{% if cookiecutter.engine == "async" %}
    name: str | None = getattr(error.driver_exception, "constraint_name", None)
{% else %}
    diagnostics = getattr(error.driver_exception, "diag", None)
    name: str | None = getattr(diagnostics, "constraint_name", None)
{% endif %}
    return name


def fault_of(error: BaseException) -> Fault | None:
    """The fault behind an exception; None for a bug (bad SQL, NOT NULL, a write while reading)."""
    if isinstance(error, PoolTimeoutError):
        return Fault.UNAVAILABLE
    if isinstance(error, StaleDataError):
        return Fault.STALE
    if not isinstance(error, DBAPIError):
        return None
    if sqlstate := sqlstate_of(error):
        return SQLSTATES.get(sqlstate) or CLASSES.get(sqlstate[:2])
    # Without an SQLSTATE the server did not speak: refused, unreachable, or gone in the middle.
    lost = error.connection_invalidated or isinstance(error, OperationalError)
    return Fault.UNAVAILABLE if lost else None
