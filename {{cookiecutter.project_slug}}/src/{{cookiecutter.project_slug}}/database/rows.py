"""Rows of a statement that is compiled once, and then executed by the driver.

{% if cookiecutter.engine == "async" %}
SQLAlchemy spends most of a short statement around the driver: an execution context, a cursor, a
result, and a new greenlet for each step. Rows need none of these: their greenlet is kept.
{% else %}
SQLAlchemy spends most of a short statement around the driver: an execution context, a cursor and a
result. Rows need none of these.
{% endif %}
They keep SQLAlchemy's pool, the types of parameters and columns, the errors, and the log of slow
statements.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, CursorResult, Dialect, Engine, Executable
from sqlalchemy.exc import InvalidRequestError

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from . import asyncpg_driver as driver
{% endcall %}


class Rows:
    """A statement for Database.rows() or Database.write(): create it once, at module level.

    Its rows are dictionaries, because looking up each value of a Row by name takes three times as
    long. Two columns of one name raise InvalidRequestError.
    """

    def __init__(self, statement: Executable) -> None:
        self.statement = statement
        # What the first execution on an engine has shown.
        self._plans: WeakKeyDictionary[Dialect, Plan] = WeakKeyDictionary()

    def read(self, engine: Engine, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows, on a connection of the engine."""
        with engine.connect() as connection:
            return self.execute(connection, values)

    def write(self, engine: Engine, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows when the transaction of the statement is committed."""
        with engine.begin() as connection:
            return self.execute(connection, values)

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows, in the transaction of the connection if it is in one."""
        plan = self._plans.get(connection.dialect)
        if (
            plan is None
            or plan.parameters != values.keys()
            or is_watched(connection.engine)
            or begins_at_execute(connection)
        ):
            result = connection.execute(self.statement, values)
            names = unique_names(result)
            if is_reusable(result):
                self._plans[connection.dialect] = Plan(result, values.keys())
            return [dict(zip(names, row, strict=True)) for row in result]
        return plan.execute(connection, values)


class Plan:
    """How SQLAlchemy has executed a statement: its SQL, and the types of what goes in and out."""

    def __init__(self, result: CursorResult[Any], parameters: Iterable[str]) -> None:
        self.parameters = set(parameters)
        # SQLAlchemy has no public names for the processors of values.
        context: Any = result.context
        metadata: Any = result._metadata
        # The one that the log of slow statements has wrapped.
        self._fetch = vars(context.dialect).get("fetch", driver.fetch)
        self._sql: str = context.compiled.string
        self._compiled = context.compiled
        self._literals = context.extracted_parameters
        self._bind_processors = context.compiled._bind_processors
        self._names = tuple(result.keys())
        self._result_processors = [
            (name, process)
            for name, process in zip(self._names, metadata._processors, strict=True)
            if process
        ]

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        parameters: Any = values
        try:
            parameters = self._parameters(values)
            found = self._fetch(connection.connection.dbapi_connection, self._sql, parameters)
        except BaseException as error:
            # As SQLAlchemy itself does: the events, the exception's class, the lost connection.
            connection._handle_dbapi_exception(error, self._sql, parameters, None, None)
        rows = [dict(zip(self._names, row, strict=True)) for row in found]
        for name, process in self._result_processors:
            for row in rows:
                row[name] = process(row[name])
        return rows

    def _parameters(self, values: Mapping[str, Any]) -> Any:
        bound = self._compiled.construct_params(values, self._literals, escape_names=False)
        for name, process in self._bind_processors.items():
            bound[name] = process(bound[name])
        return driver.arrange(bound, self._compiled)


def unique_names(result: CursorResult[Any]) -> Sequence[str]:
    """Return the names of the columns; raise InvalidRequestError if two are the same."""
    names = list(result.keys())
    if len(set(names)) < len(names):
        raise InvalidRequestError(
            f"Columns have the same name: {', '.join(names)}. Give each a label of its own.",
        )
    return names


def is_reusable(result: CursorResult[Any]) -> bool:
    """Whether all executions have the same SQL and the same columns.

    An IN grows with its list. What columns a text() or an asterisk has, only the server knows.
    SQLAlchemy calls the defaults of columns that Python computes anew for each row.
    """
    compiled: Any = result.context.compiled
    return bool(
        compiled._ordered_columns
        and compiled._result_columns
        and not compiled.post_compile_params
        and not compiled.literal_execute_params
        and not compiled.insert_prefetch
        and not compiled.update_prefetch
        and not compiled.escaped_bind_names,
    )


def is_watched(engine: Engine) -> bool:
    """Whether something waits for SQLAlchemy's execution, such as tracing or the log of SQL."""
    events: Any = engine.dispatch
    driver_events: Any = engine.dialect.dispatch
    return bool(
        events.before_cursor_execute
        or events.after_cursor_execute
        or events.before_execute
        or events.after_execute
        or driver_events.do_execute
        or engine.logger.isEnabledFor(logging.INFO),
    )


def begins_at_execute(connection: Connection) -> bool:
    """Whether SQLAlchemy begins a transaction when it executes, as behind PgBouncer."""
    dbapi_connection: Any = connection.connection.dbapi_connection
    return not (dbapi_connection.autocommit or connection.in_transaction())
