"""Rendered projects are clean as they are, and their own suites pass on a real PostgreSQL."""

import json
import os
import shutil
import sysconfig
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mutations import LEFT_TO_THE_TESTS, PACKAGE, Mutation, append, mutate
from projects import KINDS, PAIRS, QUESTIONS, BakedProject, copy_template

# The length of its name moves the ends of lines, and its first letter the order of imports.
SLUGS = ["z", "acme_orders", "a" * 20 + "_" + "z" * 19]


@pytest.mark.parametrize("answers", KINDS)
def test_linter_and_formatter_find_nothing(
    render: Callable[..., BakedProject], answers: dict[str, Any]
) -> None:
    lint(*[render(project_slug=slug, **answers) for slug in SLUGS])


def lint(*projects: BakedProject) -> None:
    """Each by the configuration in its own pyproject.toml."""
    paths = [str(project.path) for project in projects]
    projects[0].run("ruff", "check", "--no-cache", *paths)
    projects[0].run("ruff", "format", "--check", "--no-cache", *paths)


def check_types(project: BakedProject, cache: Path) -> None:
    project.run("mypy", "--strict", "--cache-dir", str(cache))


def import_faults(*projects: BakedProject) -> list[list[str]]:
    """What fails in each when all modules are imported, and warnings are errors."""
    script = str(Path(__file__).with_name("import_modules.py"))
    paths = [str(project.path) for project in projects]
    faults: list[list[str]] = json.loads(projects[0].python("-W", "error", script, *paths))
    return faults


@pytest.mark.first
def test_the_type_checker_finds_nothing_in_either_engine(
    render: Callable[..., BakedProject], pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """One after the other, so that they share what mypy knows of the dependencies, also later."""
    cache = pytestconfig.rootpath / ".mypy_cache" / "rendered"
    for engine in QUESTIONS["engine"]:
        path = shutil.copytree(render(engine=engine).path, tmp_path / engine)
        project = BakedProject(path, {"engine": engine})
        check_types(project, cache)
    with (path / "dev" / "__init__.py").open("a") as file:
        file.write('x: int = "a wrong type"\n')
    with pytest.raises(AssertionError, match="Incompatible types in assignment"):
        check_types(project, cache)


@pytest.mark.slow
@pytest.mark.parametrize("answers", KINDS)
def test_the_type_checker_finds_nothing(
    bake: Callable[..., BakedProject], answers: dict[str, Any], mypy_cache: Path
) -> None:
    check_types(bake(**answers), mypy_cache)


# What the hook would find is tried as well, since a render without it must not pass either.
CANNOT_BE_IMPORTED = {
    "cannot import name 'nothing'": Mutation(
        "tests/conftest.py", append("from dev import nothing\n")
    ),
    "ZeroDivisionError": Mutation(f"{PACKAGE}/migrations/env.py", append("1 / 0\n")),
}


def test_every_module_can_be_imported(render: Callable[..., BakedProject], tmp_path: Path) -> None:
    """In half of the kinds, and in none with a fault."""
    kinds: list[Any] = [KINDS[number].values[0] for number in sorted(PAIRS)]
    sound = [render(project_slug=f"kind{n}", **answers) for n, answers in enumerate(kinds)]
    broken = []
    for number, mutation in enumerate(CANNOT_BE_IMPORTED.values()):
        template = copy_template(tmp_path / f"broken{number}")
        mutate(template, mutation)
        broken.append(render(template, project_slug=f"broken{number}"))
    faults = import_faults(*sound, *broken)
    assert faults[: len(sound)] == [[]] * len(sound)
    for expected, found in zip(CANNOT_BE_IMPORTED, faults[len(sound) :], strict=True):
        assert any(expected in fault for fault in found), (expected, found)


NOT_CLEAN = {
    "F821 Undefined name": LEFT_TO_THE_TESTS["a name that is not defined"],
    "imported but unused": LEFT_TO_THE_TESTS["an import that is not used"],
    "File would be reformatted": Mutation(f"{PACKAGE}/__main__.py", append("\n\nx = {  }\n")),
}


@pytest.mark.parametrize("message", NOT_CLEAN)
def test_what_is_not_clean_is_found(
    render: Callable[..., BakedProject], tmp_path: Path, message: str
) -> None:
    template = copy_template(tmp_path / "template")
    answers = mutate(template, NOT_CLEAN[message])
    with pytest.raises(AssertionError, match=message):
        lint(render(template, **answers))


# The other four have nothing that these have not.
@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("python_version", QUESTIONS["python_version"][1:])
@pytest.mark.parametrize("engine", QUESTIONS["engine"])
def test_the_linter_finds_nothing_for_a_newer_python(
    bake: Callable[..., BakedProject], engine: str, python_version: str
) -> None:
    project = bake(engine=engine, python_version=python_version)
    project.run("ruff", "check", "--no-cache")
    project.run("ruff", "format", "--check", "--no-cache")


@pytest.mark.slow
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
