"""The log of slow statements."""

import logging
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from . import asyncpg_driver as driver
{% endcall %}

logger = logging.getLogger(__name__)

# Characters of a statement that a line shows.
SHOWN = 1000


def log_slow_statements(engine: Engine, threshold: float) -> None:
    """Log each statement that takes longer than `threshold` seconds, without its parameters.

    COMMIT is a statement too. One that fails is logged as well, for example because it ran into
    statement_timeout.
    """

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def execute(cursor: Any, statement: str, *arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(cursor, statement, *arguments)
            finally:
                log_if_slow(statement, started, threshold)

        return execute

    def timed_as(statement: str, call: Callable[..., None]) -> Callable[..., None]:
        def execute(connection: Any) -> None:
            started = time.perf_counter()
            try:
                call(connection)
            finally:
                log_if_slow(statement, started, threshold)

        return execute

    # The dialect's own hooks: events cost a short read some 8 % of its time, and a listener that
    # executes the statement itself would hide it from the others.
    dialect = engine.dialect
    vars(dialect).update(
        do_execute=timed(dialect.do_execute),
        do_execute_no_params=timed(dialect.do_execute_no_params),
        do_executemany=timed(dialect.do_executemany),
        do_commit=timed_as("COMMIT", dialect.do_commit),
        fetch=timed(driver.fetch),  # ours, for Rows
    )
{% if cookiecutter.engine == "async" %}
    vars(dialect)["do_begin"] = timed_as("BEGIN", dialect.do_begin)
{% endif %}


def log_if_slow(statement: str, started: float, threshold: float) -> None:
    """Log the statement if more than `threshold` seconds have passed.

    `started` is what time.perf_counter() said before it.
    """
    seconds = time.perf_counter() - started
    if seconds > threshold:
        shown = " ".join(statement[:SHOWN].split())
        if len(statement) > SHOWN:
            shown += f"… ({len(statement)} characters)"
        logger.warning("slow statement, %.3f s: %s", seconds, shown)
