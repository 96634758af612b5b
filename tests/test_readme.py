"""The rendered README's five steps to a model work as written."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import KINDS_IN_PAIRS, BakedProject

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


@pytest.mark.parametrize("answers", KINDS_IN_PAIRS)
def test_the_five_steps_work_as_written(
    bake: Callable[..., BakedProject], answers: dict[str, Any], mypy_cache: Path
) -> None:
    project = bake(**answers)
    readme = (project.path / "README.md").read_text()
    steps = readme.partition("## Add a model in five steps\n")[2].partition("\n## Settings")[0]
    follow(project, steps)
    project.run("dev", "alembic", "check")
    if answers["fastapi"] == "no":
        assert "Tea 3.50" in project.run("dev", "python", "add_product.py")
    project.run("ruff", "check", "--no-cache")
    project.run("ruff", "format", "--check", "--no-cache")
    project.run("mypy", "--strict", "--cache-dir", str(mypy_cache))
    # This environment has what any project needs; a sync one does without pytest-asyncio.
    unused = ["-p", "no:asyncio"] if answers["engine"] == "sync" else []
    assert "2 passed" in project.run("pytest", *unused, "-k", "product")


@pytest.mark.parametrize("engine", ["async", "sync"])
def test_a_required_setting_breaks_no_test_that_does_not_use_it(
    bake: Callable[..., BakedProject], engine: str
) -> None:
    """Also without a value for the tests; nor do migrations need it."""
    project = bake(engine=engine)
    readme = (project.path / "README.md").read_text()
    follow(project, readme.partition("### Add a setting\n")[2].partition("\n1. ")[0])
    project.run("dev", "alembic", "upgrade", "head")
    unused = ["-p", "no:asyncio"] if engine == "sync" else []
    modules = ["tests/api", "tests/test_migrations.py", "tests/test_settings.py"]
    assert " passed" in project.run("pytest", "-n", "2", *unused, *modules)
