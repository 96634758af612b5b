"""What is psycopg's own way: how it connects, executes, and reports its errors."""

import math
import re
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from ..settings import Settings

ERRORS = (psycopg.Error,)
REFUSALS = (psycopg.Error, UnicodeError)  # the statement has had no effect
TIMEOUTS = (psycopg.errors.ConnectionTimeout,)

NAME = "postgresql+psycopg"
APPLICATION_NAME = __name__.partition(".")[0]

# Seconds beyond statement_timeout after which a server that has not answered counts as lost.
RESPONSE_MARGIN = 5.0


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that gives up on a server that does not answer for `response_timeout` seconds.

    libpq would wait for ever, unless the kernel on the other side is gone too.
    """

    response_timeout: float | None = None

    def wait(
        self,
        gen: PQGen[RV],
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> RV:
        limit = self.response_timeout if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()  # the answer may still come, and must not be the next one's
            raise psycopg.errors.ConnectionTimeout(str(error)) from error

    def notifies(
        self,
        *,
        timeout: float | None = None,
        stop_after: int | None = None,
    ) -> Generator[psycopg.Notify]:
        """Wait for notifications without a limit of our own: the server owes no answer here."""
        limit = math.inf if timeout is None else timeout
        return super().notifies(timeout=limit, stop_after=stop_after)


class Turns:
    """A semaphore that lets threads through in the order of arrival."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def acquire(self, timeout: float) -> bool:
        """Wait for a turn; return whether it came within `timeout` seconds."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(timeout):
            return True
        with self._lock:
            if not turn.is_set():
                self._waiting.remove(turn)
            return turn.is_set()

    def release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


def open_connection(
    url: str,
    settings: Settings,
    parameters: dict[str, str],
    password: Callable[[], str] | None,
) -> BoundedConnection:
    """Connect by libpq, which asks the hosts in turn; raise psycopg.OperationalError.

    `parameters` are those of the server's session.
    """
    words = conninfo_to_dict(url)
    options = [f"-c {name}={value}" for name, value in parameters.items()]
    attempts = str(words.get("host", "")).count(",") + 1
    if words.get("target_session_attrs") == "prefer-standby":
        attempts *= 2  # libpq asks all hosts for a standby first
    arguments: dict[str, Any] = {
        # For each attempt, in whole seconds; psycopg waits two at least.
        "connect_timeout": math.ceil(settings.database_connect_timeout / attempts),
        "fallback_application_name": APPLICATION_NAME,
        "options": " ".join([str(words.get("options", "")), *options]).strip(),
        "tcp_user_timeout": round(settings.database_tcp_user_timeout * 1000),
        "keepalives_idle": settings.database_keepalives_idle,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    if settings.database_pgbouncer:
        # A prepared statement belongs to one server connection, and PgBouncer changes that.
        arguments["prepare_threshold"] = None
    try:
        if password is not None:
            arguments["password"] = password()
        connection = BoundedConnection.connect(url, **arguments)
    except (OSError, ValueError, psycopg.OperationalError) as error:
        message = f"cannot connect: {error}"
        if "startup parameter" in message:
            message += ". If this is PgBouncer, set DATABASE_PGBOUNCER=true"
        raise psycopg.OperationalError(message) from error
    connection.response_timeout = settings.database_statement_timeout + RESPONSE_MARGIN
    return connection


def fetch(connection: Any, statement: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
    """Return the rows of one statement, which is committed with them."""
    is_autocommit = connection.autocommit
    if not is_autocommit:
        connection.autocommit = True  # of the client alone: nothing is sent
    try:
        cursor = connection.execute(statement, parameters)
        try:
            return cursor.fetchall() if cursor.description else ()
        except psycopg.Error as error:
            raise ValueError("a row cannot be read") from error  # what was written is committed
    finally:
        if not is_autocommit and not connection.closed:
            connection.autocommit = False


def responds(connection: Any, timeout: float) -> bool:
    """Whether the server answers within `timeout` seconds; costs a round trip."""
    response_timeout, connection.response_timeout = connection.response_timeout, timeout
    try:
        fetch(connection, "SELECT 1", {})
    except psycopg.Error:
        return False
    connection.response_timeout = response_timeout
    return True


def is_lost(connection: Any) -> bool:
    """Whether the server has ended an idle connection; costs no round trip."""
    try:
        for _ in range(2):  # why it ended, and the end
            connection.pgconn.consume_input()
    except psycopg.Error:
        return True
    return bool(connection.closed)


def is_in_transaction(connection: Any) -> bool:
    """Whether the server said so with its last answer."""
    return bool(connection.pgconn.transaction_status != TransactionStatus.IDLE)


def is_outdated_plan(error: BaseException) -> bool:
    """Whether a statement that the connection has prepared no longer fits the schema."""
    if isinstance(error, psycopg.errors.InternalError_):
        # The type of a parameter is gone, such as an enum that was replaced. PostgreSQL does not
        # translate its internal errors.
        return str(error).startswith("cache lookup failed for type")
    # Not by the message, which is in the server's language.
    return (
        isinstance(error, psycopg.errors.FeatureNotSupported)
        and error.diag.source_function == "RevalidateCachedQuery"
    )


def constraint_name(error: BaseException | None) -> str | None:
    """Return the constraint that psycopg's exception names, if it names one."""
    return error.diag.constraint_name if isinstance(error, psycopg.Error) else None


def without_values(error: BaseException) -> str:
    """Leave DETAIL, which shows a row, and a value out of the exception; return its message."""
    message = str(error)
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        message = error.diag.message_primary
    if isinstance(error, psycopg.DataError):
        # Such as: invalid input syntax for type integer: "secret"
        message = re.split("""["'«„“:]""", message, maxsplit=1)[0].strip()
    error.args = (message,)
    return message
