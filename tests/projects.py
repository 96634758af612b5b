"""The template, its questions, and the projects that the tests make from it."""

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.generate import generate_context
from cookiecutter.main import cookiecutter
from cookiecutter.prompt import prompt_for_config

TEMPLATE = Path(__file__).parents[1]
PROJECT = next(TEMPLATE.glob("*cookiecutter.project_slug*")).name


def questions(template: Path) -> dict[str, Any]:
    """The questions and their defaults, or their choices."""
    keys = json.loads((template / "cookiecutter.json").read_text())
    return {key: default for key, default in keys.items() if not key.startswith("_")}


QUESTIONS = questions(TEMPLATE)
# Every combination of the answers that change the Python code.
KINDS = [
    pytest.param(
        {"engine": engine, "fastapi": fastapi, "example_models": models},
        id=f"{engine} fastapi-{fastapi} models-{models}",
    )
    for engine in ("async", "sync")
    for fastapi in ("yes", "no")
    for models in ("yes", "no")
]


def long_but(*numbers: int) -> list[Any]:
    """Return every kind, of which `pytest -m long` takes those with other numbers."""
    return [
        kind
        if number in numbers
        else pytest.param(*kind.values, id=kind.id, marks=pytest.mark.long)
        for number, kind in enumerate(KINDS)
    ]


# Half of them have each answer together with each other one.
PAIRS = (0, 3, 5, 6)
KINDS_IN_PAIRS = long_but(*PAIRS)


@dataclass(frozen=True)
class BakedProject:
    path: Path
    answers: dict[str, Any]

    @property
    def slug(self) -> str:
        return self.path.name

    @property
    def package(self) -> Path:
        return self.path / "src" / self.slug

    def run(self, *command: str) -> str:
        """The output of `python -m COMMAND …` in the project; a failure shows it."""
        return self.python("-m", *command)

    def python(self, *arguments: str) -> str:
        ours = ("PYTEST_", "DATABASE_", "COV_")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=environment | {"PYTHONPATH": "src"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(arguments)} in {self.answers}\n{done.stdout}"
        return done.stdout


def tree(directory: Path) -> dict[str, bytes | None]:
    """The content of every file below a directory, by its path; None for a directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


def copy_template(target: Path) -> Path:
    """The parts of the template that cookiecutter reads, in a directory of its own."""
    target.mkdir(parents=True)
    for name in ("cookiecutter.json", "hooks", "templates", PROJECT):
        if (TEMPLATE / name).is_dir():
            shutil.copytree(
                TEMPLATE / name, target / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(TEMPLATE / name, target)
    return target


def add_to_questions(template: Path, **defaults: Any) -> None:
    """Ask more in a copy of the template, and do nothing else that CONTRIBUTING asks for."""
    path = template / "cookiecutter.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | defaults))


def create_repository(directory: Path, message: str = "Start") -> Path:
    """Make a git repository of a directory, or commit what has changed in one."""
    author = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        [*author, "commit", "-qm", message],
    ):
        subprocess.run(["git", *command], cwd=directory, check=True)
    return directory


def default_context(template: Path = TEMPLATE) -> dict[str, Any]:
    """The context of a project with every default, as a replay file holds it."""
    context = generate_context(str(template / "cookiecutter.json"))
    return dict(prompt_for_config(context, no_input=True))


def files_by_answer(template: Path, slug: str) -> dict[tuple[str, Any] | None, list[str]]:
    """FILES, as the post hook has it; the files of None are in every project."""
    hook = ast.parse((template / "hooks" / "post_gen_project.py").read_text())
    [table] = [
        node.value
        for node in hook.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FILES"
    ]
    names = {"PACKAGE": f"src/{slug}", "EVERY_PROJECT": None}
    files: dict[tuple[str, Any] | None, list[str]] = eval(ast.unparse(table), names)
    return files


def answer_of(value: Any) -> Any:
    """An answer as it is typed: cookiecutter takes words for booleans."""
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def render(template: Path, output_dir: Path, config_file: str, **answers: Any) -> BakedProject:
    """Make a project without the hooks, which take most of the time, but with their pruning."""
    path = Path(
        cookiecutter(
            str(template),
            no_input=True,
            accept_hooks=False,
            config_file=config_file,
            output_dir=str(output_dir),
            extra_context=answers,
        )
    )
    given = {key: answer_of(value) for key, value in (default_context(template) | answers).items()}
    for key, names in files_by_answer(template, path.name).items():
        if key and given[key[0]] != answer_of(key[1]):
            for name in names:
                (path / name).unlink(missing_ok=True)
    for directory in sorted(path.rglob("*/"), reverse=True):
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
    return BakedProject(path, answers)
