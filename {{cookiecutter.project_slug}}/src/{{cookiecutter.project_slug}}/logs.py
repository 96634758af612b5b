"""The logs of a process: lines of text for people, or JSON for programs."""

import logging
import time
from contextvars import ContextVar
from typing import Annotated, Literal

from pydantic import BeforeValidator
from pydantic_settings import BaseSettings, SettingsConfigDict
{% if cookiecutter.fastapi %}
from pythonjsonlogger.core import RESERVED_ATTRS
{% endif %}
from pythonjsonlogger.json import JsonFormatter

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

{% if cookiecutter.fastapi %}
# The id of the request that the current task or thread answers.
{% else %}
# The id of what the current task or thread works on.
{% endif %}
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class LogSettings(BaseSettings):
    """LOG_FORMAT and LOG_LEVEL."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True)

    log_format: Literal["text", "json"] = "text"
    log_level: Annotated[LogLevel, BeforeValidator(str.upper)] = "INFO"


def set_up_logs(settings: LogSettings | None = None) -> None:
    """Send all logs to stderr, as the settings say, by default those of the environment.

    A root logger that has handlers already keeps them. Raises pydantic.ValidationError.
    """
    settings = settings or LogSettings()
    handler = logging.StreamHandler()
    handler.setLevel(settings.log_level)
    handler.addFilter(add_request_id)
    handler.setFormatter(json_lines() if settings.log_format == "json" else text_lines())
    logging.basicConfig(level=settings.log_level, handlers=[handler])
{% if cookiecutter.fastapi %}
    for name in ("uvicorn", "uvicorn.access"):
        logger = logging.getLogger(name)
        if logger.handlers:  # --no-access-log has left none
            logger.handlers.clear()
            logger.propagate = True
{% endif %}


def add_request_id(record: logging.LogRecord) -> bool:
    if (current := request_id.get()) is not None:
        record.request_id = current
    return True


def text_lines() -> logging.Formatter:
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s [%(name)s] [%(request_id)s] %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        defaults={"request_id": "-"},
    )
    formatter.converter = time.gmtime
    return formatter


def json_lines() -> logging.Formatter:
    """Return a formatter that also writes the exception, and what `extra` holds."""
    return JsonFormatter(
        ["levelname", "name", "message"],
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
{% if cookiecutter.fastapi %}
        reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's message, with colours
{% endif %}
    )
