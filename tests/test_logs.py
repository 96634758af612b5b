"""The logs of a rendered service under uvicorn, and of its migrations, as an operator gets them."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from projects import BakedProject

pytestmark = pytest.mark.slow

SERVICE_WITH_A_BUG = """
from {slug}.api.app import app

@app.get("/bug")
def bug() -> None:
    raise RuntimeError("the cause")
"""


@pytest.mark.parametrize("engine", ["async", "sync"])
def test_a_500_and_its_log_lines_have_the_id_of_the_request(
    bake: Callable[..., BakedProject], engine: str
) -> None:
    project = bake(engine=engine, example_models="no")
    (project.path / "buggy.py").write_text(SERVICE_WITH_A_BUG.format(slug=project.slug))
    given = {"PYTHONPATH": "src", "DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"}
    with subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "buggy:app", "--port", "0"],
        cwd=project.path,
        env=os.environ | given | {"LOG_FORMAT": "json"},
        stderr=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stderr
        running: dict[str, Any] = {"message": ""}
        while not (at := re.search(r"running on (\S+)", running["message"])):
            line = service.stderr.readline()
            # uvicorn writes two lines before it starts the application.
            running = json.loads(line) if line.startswith("{") else {"message": ""}
        request = urllib.request.Request(f"{at[1]}/bug", headers={"X-Request-ID": "abc-1"})
        with pytest.raises(urllib.error.HTTPError) as answered:
            urllib.request.urlopen(request)
        problem = json.loads(answered.value.read())
        service.terminate()
        lines = [json.loads(line) for line in service.stderr]
    assert (answered.value.code, problem["request_id"]) == (500, "abc-1")
    assert answered.value.headers["X-Request-ID"] == "abc-1"
    about_it = [line for line in lines if line.get("request_id") == "abc-1"]
    loggers = {line["logger"]: line for line in about_it}
    assert loggers.keys() == {"uvicorn.access", "uvicorn.error"}
    assert "RuntimeError: the cause" in loggers["uvicorn.error"]["exception"]


@pytest.mark.parametrize("engine", ["async", "sync"])
def test_migrations_log_as_the_service_does(bake: Callable[..., BakedProject], engine: str) -> None:
    project = bake(engine=engine, fastapi="no")
    text = project.run("dev", "alembic", "upgrade", "head")
    lines = project.run("dev", "env", "LOG_FORMAT=json", "alembic", "downgrade", "base")
    logger = f"{project.slug}.migrations.locking"
    assert re.match(rf"\S+Z INFO \[{logger}\] \[-\] Running upgrade", text)
    down = json.loads(lines.splitlines()[0])
    assert (down["level"], down["logger"]) == ("INFO", logger)
