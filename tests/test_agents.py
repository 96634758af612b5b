"""The pages for coding assistants, of the template and of each project, are short and true."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import KINDS, TEMPLATE, BakedProject

ONE_PAGE = 60  # lines
CODE = re.compile(r"`([^`]+)`")


def section(page: str, title: str) -> str:
    return page.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("answers", KINDS)
def test_a_page_is_short_and_names_what_there_is(
    render: Callable[..., BakedProject], answers: dict[str, Any]
) -> None:
    """The hook checks the links."""
    project = render(**answers)
    page = (project.path / "AGENTS.md").read_text()
    assert len(page.splitlines()) <= ONE_PAGE
    assert len(re.findall(r"^\d\. \*\*", page, re.MULTILINE)) == 5
    fixtures = (project.path / "tests" / "conftest.py").read_text()
    for name in re.findall(r"the fixture `(\w+)`, or `(\w+)`", page)[0]:
        assert f"def {name}(" in fixtures
    database = (project.package / "database" / "database.py").read_text()
    for method in set(re.findall(r"`[^`]*\bdatabase\.(\w+)\(", page)):
        assert f"def {method}(" in database


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["async", "sync"])
def test_its_commands_work(bake: Callable[..., BakedProject], engine: str) -> None:
    project = bake(engine=engine)
    # This environment has what any project needs; a sync one does without pytest-asyncio.
    unused = "-p no:asyncio" if engine == "sync" else ""
    environment = ["env", f"PYTEST_ADDOPTS={unused}", sys.executable, "-m", "dev"]
    commands = CODE.findall(section((project.path / "AGENTS.md").read_text(), "Commands"))
    # tests/test_rendered.py runs all tests, and tests/test_dev.py the service.
    elsewhere = {"./run", "./run test -n auto"}
    assert elsewhere < set(commands)
    for command in dict.fromkeys(commands):
        program, *words = shlex.split(command)
        if program == "uv":
            project.run(*words[1:])
        elif command not in elsewhere:
            project.run("dev", *environment, *words)


def test_the_page_of_the_template_names_what_there_is() -> None:
    page = (TEMPLATE / "AGENTS.md").read_text()
    assert len(page.splitlines()) <= ONE_PAGE
    assert len(re.findall(r"^\d\. \*\*", page, re.MULTILINE)) == 5
    paths = [code for code in CODE.findall(page) if re.fullmatch(r"[\w{}.]+[./][\w{}./]*", code)]
    assert {"hooks/post_gen_project.py", "tests/faults/"} <= set(paths)
    assert [path for path in paths if not (TEMPLATE / path).exists()] == []


@pytest.mark.slow
def test_the_commands_of_the_template_work(tmp_path: Path) -> None:
    """As far as they can be tried quickly: pytest collects, and the others run."""
    commands = CODE.findall(section((TEMPLATE / "AGENTS.md").read_text(), "Commands"))
    for command in commands:
        _, _, *words = shlex.split(command.replace("/tmp/rendered", str(tmp_path)))
        if words[:1] == ["pytest"]:
            words += ["--collect-only", "-q", "-n", "0"]
        if words[:1] in (["pytest"], ["ruff"], ["cookiecutter"]):  # mypy is a minute's work
            subprocess.run(
                [sys.executable, "-m", *words], cwd=TEMPLATE, stdout=subprocess.DEVNULL, check=True
            )
