"""The suites in tests/machinery pass in a project of each engine: they are the template's to prove.

They are Jinja Python, as the project's own tests are, and are rendered as a part of the project.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import PROJECT, QUESTIONS, TEMPLATE, BakedProject, copy_template

MACHINERY = TEMPLATE / "tests" / "machinery"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("engine", QUESTIONS["engine"])
def test_the_machinery_keeps_its_promises(
    bake_from: Callable[..., BakedProject], tmp_path: Path, mypy_cache: Path, engine: str
) -> None:
    template = copy_template(tmp_path / "template")
    suites = [path.name for path in MACHINERY.glob("test_*.py")]
    for name in suites:
        shutil.copy(MACHINERY / name, template / PROJECT / "tests")
    answers = {"engine": engine, "fastapi": "yes", "example_models": "yes"}
    project = bake_from(template, extra_context=answers)
    paths = [f"tests/{name}" for name in suites]
    project.run("ruff", "check", "--no-cache", *paths)
    project.run("ruff", "format", "--check", "--no-cache", *paths)
    project.run("mypy", "--strict", "--cache-dir", str(mypy_cache), *paths)
    # This environment has what any project needs; a sync one does without pytest-asyncio.
    unused = ["-p", "no:asyncio"] if engine == "sync" else []
    summary = project.run("pytest", "-n", "2", *unused, *paths).splitlines()[-1]
    assert " passed" in summary
    assert "skipped" not in summary
