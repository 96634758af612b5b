"""Every line of the logs says when, how bad, from where, and for which request."""

import json
import logging
{% if cookiecutter.fastapi %}
import logging.config
{% endif %}
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import ValidationError
{% if cookiecutter.fastapi %}
from uvicorn.config import LOGGING_CONFIG
{% endif %}

from {{ cookiecutter.project_slug }}.logs import LogSettings, request_id, set_up_logs

logger = logging.getLogger("shop.orders")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|\+00:00)"


@contextmanager
def new_root_logger() -> Iterator[None]:
    """The root logger as a new process has it; pytest's comes back afterwards."""
    handlers, level = logging.root.handlers, logging.root.level
    logging.root.handlers = []
    try:
        yield
    finally:
        logging.root.handlers = handlers
        logging.root.setLevel(level)


@new_root_logger()
def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogSettings())
    logger.info("shipped %d", 7)
    token = request_id.set("abc-1")
    logger.warning("late")
    request_id.reset(token)
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"{TIME} INFO \[shop\.orders\] \[-\] shipped 7", first)
    assert re.fullmatch(rf"{TIME} WARNING \[shop\.orders\] \[abc-1\] late", second)


@new_root_logger()
def test_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogSettings(log_format="json"))
    token = request_id.set("abc-1")
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        logger.exception("late\nagain", extra={"order": 7})
    request_id.reset(token)
    [line] = capsys.readouterr().err.splitlines()
    written = json.loads(line)
    assert re.fullmatch(TIME, written.pop("time"))
    assert written.pop("exception").startswith("Traceback")
    assert written == {
        "level": "ERROR",
        "logger": "shop.orders",
        "message": "late\nagain",
        "order": 7,
        "request_id": "abc-1",
    }


@new_root_logger()
def test_the_environment_chooses(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("LOG_LEVEL", "error")
    set_up_logs()
    logger.warning("late")
    logger.error("lost")
    assert json.loads(capsys.readouterr().err)["message"] == "lost"


def test_a_wrong_setting_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "xml")
    with pytest.raises(ValidationError, match="log_format"):
        set_up_logs()


@new_root_logger()
def test_a_program_that_has_set_up_its_logs_keeps_them() -> None:
    handler = logging.NullHandler()
    logging.root.addHandler(handler)
    set_up_logs(LogSettings())
    assert logging.root.handlers == [handler]
{% if cookiecutter.fastapi %}


@new_root_logger()
def test_uvicorn_writes_as_all_others_do(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(LOGGING_CONFIG)
    set_up_logs(LogSettings(log_format="json"))
    logging.getLogger("uvicorn.error").info("up", extra={"color_message": "\33[1mup"})
    logging.getLogger("uvicorn.access").info("%s %d", "/livez", 200)
    output = capsys.readouterr()
    lines = [json.loads(line) for line in output.err.splitlines()]
    assert [line["message"] for line in lines] == ["up", "/livez 200"]
    assert "color_message" not in lines[0]
    assert output.out == ""


@new_root_logger()
def test_an_access_log_that_is_off_stays_off(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(LOGGING_CONFIG)
    access_logger = logging.getLogger("uvicorn.access")
    access_logger.handlers.clear()  # as --no-access-log does
    set_up_logs(LogSettings())
    access_logger.info("GET")
    assert capsys.readouterr() == ("", "")
{% endif %}
