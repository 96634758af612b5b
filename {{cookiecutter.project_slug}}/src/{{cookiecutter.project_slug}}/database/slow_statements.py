"""The log of slow statements."""

import logging
import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext

logger = logging.getLogger(__name__)


def log_slow_statements(engine: Engine, threshold: float) -> None:
    """Log each statement that takes longer than `threshold` seconds, without its parameters.

    A statement that fails is logged too, for example one that ran into statement_timeout.
    """

    def execute(
        cursor: DBAPICursor,
        statement: str,
        parameters: Any,
        context: ExecutionContext | None,
    ) -> bool:
        started = time.perf_counter()
        try:
            engine.dialect.do_execute(cursor, statement, parameters, context)
        finally:
            seconds = time.perf_counter() - started
            if seconds > threshold:
                logger.warning("slow statement, %.3f s: %s", seconds, statement)
        return True  # it has been executed

    # The dialect's own event: those of the engine cost a short read some 8 % of its time.
    event.listen(engine, "do_execute", execute)
