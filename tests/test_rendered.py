"""Rendered projects are clean as they are, and their own suites pass on a real PostgreSQL."""

import json
import os
import sysconfig
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import KINDS, QUESTIONS, BakedProject

pytestmark = pytest.mark.slow

# The length of its name moves the ends of lines, and its first letter the order of imports.
SLUGS = ["z", "acme_orders", "a" * 20 + "_" + "z" * 19]


@pytest.mark.parametrize("slug", SLUGS, ids=lambda slug: f"slug-{len(slug)}")
@pytest.mark.parametrize("answers", KINDS)
def test_linter_formatter_and_type_checker_find_nothing(
    bake: Callable[..., BakedProject], answers: dict[str, Any], slug: str, mypy_cache: Path
) -> None:
    project = bake(project_slug=slug, **answers)
    project.run("ruff", "check", "--no-cache")
    project.run("ruff", "format", "--check", "--no-cache")
    if slug == "acme_orders":  # types do not depend on it
        project.run("mypy", "--strict", "--cache-dir", str(mypy_cache))


# The other four have nothing that these have not.
@pytest.mark.parametrize("answers", [KINDS[0], KINDS[3], KINDS[4], KINDS[7]])
def test_basedpyright_finds_nothing(
    bake: Callable[..., BakedProject], answers: dict[str, Any], tmp_path: Path
) -> None:
    """At its standard level, as editors show it, on any Python of the machine."""
    project = bake(**answers)
    configuration = tmp_path / "pyrightconfig.json"
    directories = [str(project.path / name) for name in ("src", "dev", "tests")]
    configuration.write_text(
        json.dumps(
            {
                "include": directories,
                "extraPaths": [str(project.path), directories[0]],
                "typeCheckingMode": "standard",
                "pythonVersion": QUESTIONS["python_version"][0],
            }
        )
    )
    output = project.run("basedpyright", "--project", str(configuration))
    assert "0 errors, 0 warnings" in output


@pytest.mark.parametrize("engine", QUESTIONS["engine"])
def test_a_consumer_of_the_package_gets_its_types(
    bake: Callable[..., BakedProject], engine: str, tmp_path: Path, mypy_cache: Path
) -> None:
    """mypy takes types from an installed package only if it has a py.typed."""
    project = bake(engine=engine)
    venv.create(tmp_path / "venv")
    [site_packages] = (tmp_path / "venv").glob("lib/*/site-packages")
    installed = [str(project.path / "src"), sysconfig.get_path("purelib")]
    (site_packages / "installed.pth").write_text("\n".join(installed))
    consumer = tmp_path / "consumer.py"
    consumer.write_text(
        f"from {project.slug}.database import Database\n"
        f"from {project.slug}.settings import Settings\n\n"
        'reveal_type(Database(Settings(database_url="postgresql://h/db")))\n'
    )
    python = tmp_path / "venv" / "bin" / "python"
    flags = ["--strict", "--config-file", os.devnull, "--cache-dir", str(mypy_cache)]
    output = project.run("mypy", *flags, "--python-executable", str(python), str(consumer))
    assert f'"{project.slug}.database.' in output


@pytest.mark.parametrize("python_version", QUESTIONS["python_version"][1:])
@pytest.mark.parametrize("engine", QUESTIONS["engine"])
def test_the_linter_finds_nothing_for_a_newer_python(
    bake: Callable[..., BakedProject], engine: str, python_version: str
) -> None:
    project = bake(engine=engine, python_version=python_version)
    project.run("ruff", "check", "--no-cache")
    project.run("ruff", "format", "--check", "--no-cache")


@pytest.mark.parametrize("answers", KINDS)
def test_the_suite_passes(bake: Callable[..., BakedProject], answers: dict[str, Any]) -> None:
    """In random order, on two workers, with warnings as errors."""
    project = bake(**answers)
    pyproject = tomllib.loads((project.path / "pyproject.toml").read_text())
    assert pyproject["tool"]["pytest"]["filterwarnings"] == ["error"]
    # This environment has what any project needs; a sync one does without pytest-asyncio.
    unused = ["-p", "no:asyncio"] if answers["engine"] == "sync" else []
    summary = project.run("pytest", "-n", "2", *unused).splitlines()[-1]
    assert " passed" in summary
    assert "skipped" not in summary
