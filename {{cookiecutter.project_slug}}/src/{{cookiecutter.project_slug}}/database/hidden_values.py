"""What an error shows: no value of a row or a parameter, since these are people's data."""

import re
from types import TracebackType

from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from . import asyncpg_driver as driver
{% endcall %}

# What is shown of an error whose words are not the server's, the driver's or SQLAlchemy's.
HIDDEN = "its message is hidden, since it may hold a value"
# Classes of SQLSTATE whose messages are about the server, its limits and its locks.
ABOUT_THE_SERVER = {"08", "25", "28", "40", "53", "55", "57", "58"}
# Where the server's procedural languages raise what a function says.
FUNCTION_SOURCES = {"pl_exec.c", "plpy_elog.c", "plperl.c", "pltcl.c"}


class RefusedValueError(ValueError):
    """A column's type refuses a value. The message is shown, so it must not hold the value."""


def public_message(error: BaseException, *, has_parameters: bool = True) -> str:
    """Return the driver's message, cut where a value would begin.

    `has_parameters` says whether the message can name a parameter's value.
    """
    message = driver.primary_message(error)
    sqlstate: str | None = getattr(error, "sqlstate", None)
    if sqlstate is not None and sqlstate[:2] in ABOUT_THE_SERVER:
        return message
    if driver.source_file(error) in FUNCTION_SOURCES:
        return f"raised by a function of the database; {HIDDEN}"
    is_about_names = sqlstate is None or sqlstate == "42501" or sqlstate.startswith("23")
    is_about_text = not has_parameters or driver.has_position(error)
    if driver.is_data_error(error) or not (is_about_names or is_about_text):
        # Such as: invalid input syntax for type integer: "secret"
        return re.split(r"""["'«„“:]""", message, maxsplit=1)[0].strip()
    return message


def hide_values(context: ExceptionContext) -> None:
    """Leave values of rows and parameters out of an engine's error and of what caused it."""
    error, shown = context.original_exception, context.sqlalchemy_exception
    if isinstance(shown, DBAPIError):
        message = public_message(error, has_parameters=bool(context.parameters))
        driver.shorten(error, message)
    elif isinstance(shown, StatementError) and not isinstance(error, SQLAlchemyError):
        message = str(error) if isinstance(error, RefusedValueError) else HIDDEN
        error.args = (message,)
        error.__cause__ = error.__context__ = None  # such as Enum's KeyError, which is the value
    else:
        return
    kind = type(error)
    shown.args = (f"({kind.__module__}.{kind.__name__}) {message}",)


class HiddenValues:
    """A block whose exceptions hide the values in what the driver itself has raised.

    The errors of the driver's own calls, such as COPY, do not pass through the engine.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        error = exc_value
        while error is not None and not isinstance(error, SQLAlchemyError):
            if isinstance(error, driver.ERRORS):
                driver.shorten(error, public_message(error))
            error = error.__cause__ or error.__context__
        if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
            if HIDDEN in str(error) and HIDDEN not in str(error.orig):
                error.__cause__ = None  # such as pydantic's, whose text cannot be changed


values_are_hidden = HiddenValues()
