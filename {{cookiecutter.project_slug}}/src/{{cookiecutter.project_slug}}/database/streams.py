"""Server-side cursors: refused where PostgreSQL has none, and their reads in the slow log."""

import time
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import InvalidRequestError

from .slow_statements import log_if_slow


def watch_streams(engine: Engine, threshold: float) -> None:
    """Make streams refuse to start outside a transaction, and log each read that is slow.

    Raises InvalidRequestError. PostgreSQL would refuse such a stream as well, but not every
    driver's connection can be used after that.
    """
    context_class: Any = engine.dialect.execution_ctx_cls

    def create_server_side_cursor(context: Any) -> StreamCursor:
        is_refused = context.root_connection.connection.dbapi_connection.autocommit
        cursor = context_class.create_server_side_cursor(context)
        return StreamCursor(cursor, threshold, is_refused=is_refused)

    # SQLAlchemy calls this method for streams only, so that other statements cost nothing more.
    methods = {"create_server_side_cursor": create_server_side_cursor}
    engine.dialect.execution_ctx_cls = type("StreamContext", (context_class,), methods)


class StreamCursor:
    """A driver's server-side cursor."""

    def __init__(self, cursor: Any, threshold: float, *, is_refused: bool) -> None:
        self._cursor = cursor
        self._threshold = threshold
        self._is_refused = is_refused
        self._statement = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, statement: str, *parameters: Any) -> Any:
        if self._is_refused:
            raise InvalidRequestError(
                "A stream needs a transaction: use read_only(snapshot=True), or transaction().",
            )
        self._statement = statement
        return self._cursor.execute(statement, *parameters)

    def fetchone(self) -> Any:
        return self._timed(self._cursor.fetchone)

    def fetchmany(self, *size: int) -> Any:
        return self._timed(self._cursor.fetchmany, *size)

    def fetchall(self) -> Any:
        return self._timed(self._cursor.fetchall)

    def _timed(self, fetch: Any, *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return fetch(*arguments)
        finally:
            log_if_slow(self._statement, started, self._threshold)
