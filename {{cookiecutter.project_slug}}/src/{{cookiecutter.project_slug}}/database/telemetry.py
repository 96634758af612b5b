"""What the database layer logs about statements."""

import logging
import time
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext

logger = logging.getLogger(__name__)


def log_slow_statements(engine: Engine, threshold: float) -> None:
    """Logs the statements that take longer than `threshold` seconds, without their parameters."""

    def start(
        connection: Connection,
        _cursor: DBAPICursor,
        _statement: str,
        _parameters: Any,
        _context: ExecutionContext | None,
        _executemany: bool,
    ) -> None:
        connection.info["statement_started"] = time.perf_counter()

    def finish(
        connection: Connection,
        _cursor: DBAPICursor,
        statement: str,
        _parameters: Any,
        _context: ExecutionContext | None,
        _executemany: bool,
    ) -> None:
        seconds = time.perf_counter() - connection.info["statement_started"]
        if seconds > threshold:
            logger.warning("slow statement, %.3f s: %s", seconds, statement)

    event.listen(engine, "before_cursor_execute", start)
    event.listen(engine, "after_cursor_execute", finish)
