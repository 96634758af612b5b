"""Rendered projects are clean as they are, and their own suites pass on a real PostgreSQL."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import BakedProject

KINDS = [
    pytest.param(
        {"engine": engine, "fastapi": fastapi, "example_models": models}, id=" ".join(name)
    )
    for engine, fastapi, models in itertools.product(
        ["async", "sync"], ["yes", "no"], ["yes", "no"]
    )
    for name in [(engine, f"fastapi={fastapi}", f"models={models}")]
]
# The length of its name moves the ends of lines, and its first letter the order of imports.
SLUGS = ["z", "acme_orders", "a" * 20 + "_" + "z" * 19]


@pytest.fixture(scope="session")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One per worker: what mypy knows of the dependencies is the same for every project."""
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize("slug", SLUGS, ids=lambda slug: f"slug={len(slug)}")
@pytest.mark.parametrize("answers", KINDS)
def test_linter_formatter_and_type_checker_find_nothing(
    bake: Callable[..., BakedProject], answers: dict[str, Any], slug: str, mypy_cache: Path
) -> None:
    project = bake(project_slug=slug, **answers)
    project.run("ruff", "check", "--no-cache")
    project.run("ruff", "format", "--check", "--no-cache")
    project.run("mypy", "--strict", "--cache-dir", str(mypy_cache))


@pytest.mark.parametrize("answers", KINDS)
def test_the_suite_passes(bake: Callable[..., BakedProject], answers: dict[str, Any]) -> None:
    """In random order, on two workers, with warnings as errors: as its pyproject.toml has it."""
    project = bake(**answers)
    summary = project.run("pytest", "-n", "2", "-W", "error").splitlines()[-1]
    assert " passed" in summary
    assert "skipped" not in summary
