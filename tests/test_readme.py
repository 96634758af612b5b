"""The rendered README, followed to the letter, leaves a project whose tests and linters pass."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import BakedProject, long_but

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"(?:^`([^`]+)`\n)?```(\w+)\n(.*?)```\n", re.MULTILINE | re.DOTALL)


def follow(project: BakedProject, steps: str) -> None:
    """Do what the text says: write files, change lines, run commands."""
    path = project.path / "README.md"
    for name, kind, block in BLOCK.findall(steps):
        path = project.path / name if name else path
        if kind == "sh":
            for command in block.splitlines():
                project.run("dev", *shlex.split(command.removeprefix("./run ")))
        elif kind == "diff":
            lines = block.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] != "+")
            new = "".join(line[1:] for line in lines if line[0] != "-")
            assert path.read_text().count(old) == 1, f"{path.name}: {old}"
            path.write_text(path.read_text().replace(old, new))
        else:
            path.write_text(block)


# Each answer, and FastAPI with each engine: whole suites of more kinds would take too long here.
@pytest.mark.parametrize("answers", long_but(0, 3, 5))
def test_the_steps_work_as_written(
    bake: Callable[..., BakedProject], answers: dict[str, Any], mypy_cache: Path
) -> None:
    """A model in five steps, and then a required setting, for which the tests have no value yet."""
    project = bake(**answers)
    readme = (project.path / "README.md").read_text()
    follow(project, readme.partition("## Add a model in five steps\n")[2].partition("\n## ")[0])
    if answers["fastapi"] == "no":
        assert "Tea 3.50" in project.run("dev", "python", "add_product.py")
    follow(project, readme.partition("### Add a setting\n")[2].partition("\n1. ")[0])
    project.run("dev", "alembic", "upgrade", "head")  # migrations do not need the setting
    project.run("ruff", "check", "--no-cache")
    project.run("ruff", "format", "--check", "--no-cache")
    project.run("mypy", "--strict", "--cache-dir", str(mypy_cache))
    # This environment has what any project needs; a sync one does without pytest-asyncio.
    unused = ["-p", "no:asyncio"] if answers["engine"] == "sync" else []
    report = project.path / "report.xml"
    project.run("pytest", "-n", "2", f"--junitxml={report}", *unused)
    assert 'skipped="0"' in report.read_text()
    assert report.read_text().count('test_products"') == 2  # the suite has found them
