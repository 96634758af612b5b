"""The template's own files: nothing strays into its root, and its Python carries little Jinja."""

import fnmatch
import re
from pathlib import Path

import pytest
from projects import PROJECT, TEMPLATE

ROOT = {
    ".gitattributes",
    ".gitignore",
    ".pre-commit-config.yaml",
    "AGENTS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "benchmarks",
    "cookiecutter.json",
    "docs",
    "hooks",
    "pyproject.toml",
    "templates",
    "tests",
    PROJECT,
}
# A line of nothing but Jinja statements, which leaves no trace in the project.
STATEMENTS = re.compile(r"\s*(\{%.*?%\})+")
# An answer that is a value of the Python text.
VALUE = re.compile(r"\{\{ cookiecutter\.\w+ \}\}")


def strays(directory: Path) -> set[str]:
    """What is at the root, and neither ours, nor ignored by git, nor a tool's hidden directory."""
    ignored = [line.strip("/") for line in (TEMPLATE / ".gitignore").read_text().splitlines()]
    return {
        path.name
        for path in directory.iterdir()
        if path.name not in ROOT
        and not any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored)
        and not (path.is_dir() and path.name.startswith("."))
        and path.name != ".git"  # a file in a worktree
    }


def jinja_lines(text: str) -> int:
    return len([line for line in text.splitlines() if STATEMENTS.fullmatch(line)])


def lines_with_jinja_inside(text: str) -> list[str]:
    """Lines of Python that a condition or an expression changes."""
    return [
        line
        for line in text.splitlines()
        if not STATEMENTS.fullmatch(line) and re.search(r"\{[{%#]", VALUE.sub("", line))
    ]


def python_lines(text: str) -> int:
    return len([line for line in text.splitlines() if line.strip()]) - jinja_lines(text)


def modules() -> dict[str, str]:
    """The text of every Python file of the project, as it is in the template."""
    project = TEMPLATE / PROJECT
    return {
        path.relative_to(project).as_posix(): path.read_text()
        for path in sorted(project.rglob("*.py"))
    }


def test_the_root_holds_what_belongs_there_and_nothing_else() -> None:
    assert not strays(TEMPLATE)
    assert {path.name for path in TEMPLATE.iterdir()} >= ROOT


def test_a_stray_file_at_the_root_is_noticed(tmp_path: Path) -> None:
    for name in ("README.md", "traced2.py", "uv.lock"):
        (tmp_path / name).touch()
    (tmp_path / "out").mkdir()
    assert strays(tmp_path) == {"traced2.py", "out"}


def test_at_most_3_in_100_lines_of_python_are_jinja() -> None:
    """The report, with the worst files first, is what `pytest -s` prints."""
    counts = {path: (jinja_lines(text), python_lines(text)) for path, text in modules().items()}
    for path, (jinja, python) in sorted(counts.items(), key=lambda item: -item[1][0]):
        if jinja:
            print(f"{jinja:4} Jinja, {python:4} Python, {100 * jinja / python:5.1f} %  {path}")
    total = sum(jinja for jinja, _ in counts.values())
    python = sum(python for _, python in counts.values())
    print(f"{total:4} Jinja, {python:4} Python, {100 * total / python:5.1f} %  in all")
    assert 100 * total / python <= 3


@pytest.mark.parametrize("path", modules())
def test_no_line_of_python_holds_a_condition(path: str) -> None:
    assert not lines_with_jinja_inside(modules()[path])


@pytest.mark.parametrize(
    ("line", "jinja", "inside"),
    [
        ("import asyncio", 0, 0),
        ('{% if cookiecutter.engine == "async" %}', 1, 0),
        ('    {% from "engine.jinja" import for_engine %}{% call for_engine() %}', 1, 0),
        ("from {{ cookiecutter.project_slug }}.models import User", 0, 0),
        ('from sqlalchemy import {{ "Connection, " if sync }}text', 0, 1),
        ("return {% if sync %}1{% endif %}", 0, 1),
        ("size = {{ 2 * cookiecutter.pool_size }}", 0, 1),
    ],
)
def test_the_count_knows_jinja_from_python(line: str, jinja: int, inside: int) -> None:
    assert (jinja_lines(line), len(lines_with_jinja_inside(line))) == (jinja, inside)
