"""The fast path of fetch(): a statement is compiled once, and then executed by the driver itself.

SQLAlchemy spends most of a short statement around the driver: an execution context, a cursor, a
result. A plan needs none of these. It keeps SQLAlchemy's pool, types, errors, and the slow log.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Literal
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Connection, Delete, Engine, Insert, Label, Update, event, exc
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.selectable import SelectBase

logger = logging.getLogger(__name__)
echo = logging.getLogger("sqlalchemy.engine.Engine")

Statement = SelectBase | Insert | Update | Delete
Values = Mapping[str, Any]
Row = dict[str, Any]


class Plan:
    """The SQL of a statement, and what converts its parameters and its rows."""

    def __init__(self, compiled: Any, given: Sequence[str], readers: Mapping[str, Any]) -> None:
        dialect, self.sql, self.given = compiled.dialect, str(compiled), given
        self._order = compiled.positiontup
        bound = compiled.construct_params(dict.fromkeys(given))
        processors = {
            name: compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
            for name in self._order or bound
        }
        self._binders = [(name, process) for name, process in processors.items() if process]
        self._constants = {name: bound[name] for name in processors.keys() - given}
        self._readers = [(name, process) for name, process in readers.items() if process]
        self._names = list(readers)

    def bind(self, values: Values) -> Any:
        """Return the parameters as the driver takes them."""
        bound = {**self._constants, **values}
        for name, process in self._binders:
            bound[name] = process(bound[name])
        return bound if self._order is None else [bound[name] for name in self._order]

    def read(self, rows: Sequence[Sequence[Any]]) -> list[Row]:
        if not self._names:
            return []  # SQLAlchemy has added a RETURNING of its own
        found = [dict(zip(self._names, row, strict=True)) for row in rows]
        for name, process in self._readers:
            for each in found:
                each[name] = process(each[name])
        return found


class Plans:
    """The plans of one engine's statements. A statement that is used once leaves none."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # None: seen once. False: each execution has SQL or values of its own.
        self._plans: WeakKeyDictionary[Any, Plan | Literal[False] | None] = WeakKeyDictionary()
        self._own_listeners = self._count_listeners()

    def find(self, statement: Statement, values: Values) -> tuple[Plan, Any] | None:
        """Return plan and parameters; None if SQLAlchemy is to execute the statement."""
        plan, engine = self._plans.get(statement), self._engine
        if not plan or plan.given != tuple(values) or engine.get_execution_options():
            return None
        is_watched = engine.echo or echo.isEnabledFor(logging.INFO)
        if is_watched or self._count_listeners() > self._own_listeners:
            return None
        try:
            return plan, plan.bind(values)
        except Exception:  # a type refuses a value: SQLAlchemy says it in its own words
            return None

    def read(self, statement: Any, values: Values, result: Any) -> list[Row]:
        """Return the rows of a result, and plan a statement that comes for the second time."""
        # Of a copy: SQLAlchemy would keep them for the statements that are made of this one.
        columns = list(copy(statement).exported_columns)
        names = list(result.keys()) if columns or statement.is_select else []
        if len(set(names)) < len(names):
            message = f"label columns of the same name apart: {', '.join(names)}"
            raise exc.InvalidRequestError(message)
        if statement not in self._plans:
            self._plans[statement] = None
        elif self._plans[statement] is None:
            described = result.cursor.description if names else []
            self._plans[statement] = self._plan(statement, columns, tuple(values), described)
        return [dict(zip(names, row, strict=True)) for row in result] if names else []

    def _plan(
        self, statement: Any, columns: list[Any], given: tuple[str, ...], described: Sequence[Any]
    ) -> Plan | Literal[False]:
        """Compile the statement, unless each execution has SQL or values of its own."""
        dialect = self._engine.dialect
        compiled = statement.compile(dialect=dialect, column_keys=given)
        if (
            statement.get_execution_options()
            or compiled.post_compile_params  # an IN grows with its list
            or compiled.literal_execute_params
            or compiled.prefetch  # defaults that Python computes
            or compiled.escaped_bind_names
            or any(bind.callable for bind in compiled.binds.values())
            or len(columns) != len(described)  # only the server knows what is in a text()
        ):
            return False
        readers: dict[str, Any] = {}
        for column, (name, code, *_) in zip(columns, described, strict=True):
            if isinstance(column, Column | Label) and column.name != name:
                return False
            readers[name] = column.type.dialect_impl(dialect).result_processor(dialect, code)
        return Plan(compiled, given, readers)

    def _count_listeners(self) -> int:
        """Count who waits for SQLAlchemy's execution, such as tracing; the slow log is one."""
        # There is no public way to ask. A test of the contract fails when this name goes.
        told: Any = self._engine.dispatch
        before = len(told.before_execute) + len(told.before_cursor_execute)
        return before + len(told.after_execute) + len(told.after_cursor_execute)


def idle_connection(engine: Engine) -> PoolProxiedConnection | None:
    """Return a connection that can be had without waiting for anything, if there is one."""
    pool: Any = engine.pool
    if not pool.checkedin():
        return None
{% if cookiecutter.engine == "async" %}
    try:
        connection: PoolProxiedConnection = pool.connect()
    except exc.MissingGreenlet:
        return None  # the idle one was lost, and opening another one takes time
    if "is_unasked" in connection.info:
        connection.close()
        return None
{% else %}
    try:
        connection: PoolProxiedConnection = pool.connect()
    except engine.dialect.loaded_dbapi.Error as error:  # the idle one was lost, and no other came
        raise exc.OperationalError(None, None, error, True, True) from error
{% endif %}
    return connection


def log_slow_statements(engine: Engine, threshold: float) -> None:
    """Log each statement that takes longer than `threshold` seconds, without its parameters."""

    def start(connection: Connection, *_: Any) -> None:
        connection.info["started"] = time.perf_counter()

    def end(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        log_if_slow(statement, connection.info["started"], threshold)

    def fail(context: ExceptionContext) -> None:
        if context.connection and context.execution_context:
            log_if_slow(str(context.statement), context.connection.info["started"], threshold)

    event.listen(engine, "before_cursor_execute", start)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", fail)


def log_if_slow(statement: str, started: float, threshold: float) -> None:
    seconds = time.perf_counter() - started
    if seconds > threshold:
        logger.warning("slow statement, %.3f s: %s", seconds, " ".join(statement[:1000].split()))
