"""Every combination of answers makes its own files and no others, whatever tool makes it."""

import ast
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import (
    PROJECT,
    QUESTIONS,
    TEMPLATE,
    BakedProject,
    copy_template,
    create_repository,
    tree,
)

# The answers that change which files there are, or what is in many of them.
CHOICES: dict[str, list[Any]] = {
    "engine": QUESTIONS["engine"],
    "fastapi": ["yes", "no"],
    "example_models": ["yes", "no"],
    "docker": ["yes", "no"],
    "ci": QUESTIONS["ci"],
}
ANSWERS = [
    dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())
]


def eval_files() -> dict[tuple[str, Any] | None, list[str]]:
    """FILES, as the post hook has it for the slug of the defaults."""
    hook = ast.parse((TEMPLATE / "hooks" / "post_gen_project.py").read_text())
    [table] = [
        node.value
        for node in hook.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FILES"
    ]
    names = {"PACKAGE": "src/acme_orders", "EVERY_PROJECT": None}
    files: dict[tuple[str, Any] | None, list[str]] = eval(ast.unparse(table), names)
    return files


# Which files belong to which answer; those of None are in every project.
OWNERS: dict[tuple[str, Any] | None, list[str]] = eval_files()


def answer_of(value: Any) -> Any:
    return {True: "yes", False: "no"}.get(value, value)


@pytest.mark.slow
@pytest.mark.parametrize("answers", [pytest.param(a, id=" ".join(a.values())) for a in ANSWERS])
def test_a_project_has_the_files_of_its_answers(
    bake: Callable[..., BakedProject], answers: dict[str, Any]
) -> None:
    files = tree(bake(**answers).path)
    expected = set(OWNERS[None]) | {path for paths in OWNERS.values() for path in paths}
    for key, paths in OWNERS.items():
        if key and answers[key[0]] != answer_of(key[1]):
            expected -= set(paths)
    assert {path for path, content in files.items() if content is not None} == expected
    directories = [path for path, content in files.items() if content is None]
    assert all(any(path.startswith(f"{name}/") for path in files) for name in directories)
    for path, content in files.items():
        assert_written_by_hand(path, (content or b"").decode())


def assert_written_by_hand(path: str, text: str) -> None:
    """Without what conditions leave behind: blanks at ends, blank lines in heaps."""
    assert not text or text.endswith("\n"), path
    assert text.strip("\n") == text.removesuffix("\n"), path
    assert "\n\n\n\n" not in text, path
    assert not [line for line in text.splitlines() if line != line.rstrip()], path


def test_every_file_is_owned_by_an_answer_or_by_all() -> None:
    """What FILES does not name would stay in every project, and would not be missed in any."""
    paths = {
        path.relative_to(TEMPLATE / PROJECT)
        .as_posix()
        .replace("{{cookiecutter.project_slug}}", "acme_orders")
        for path in (TEMPLATE / PROJECT).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    owned = {path for owner in OWNERS.values() for path in owner}
    assert paths - owned == set(), "belong to no answer: list them in hooks/post_gen_project.py"
    assert owned - paths == set(), "are listed in hooks/post_gen_project.py, and are not there"


# Another answer to each question; max_connections is high enough for all of them.
OTHER = {
    "project_name": "Other",
    "project_slug": "other",
    "description": "Other.",
    "author_name": "Other",
    "author_email": "other@example.com",
    "python_version": "3.14",
    "engine": "sync",
    "fastapi": "no",
    "pool_size": "11",
    "max_overflow": "1",
    "processes": "1",
    "max_connections": "101",
    "example_models": "no",
    "docker": "no",
    "ci": "none",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_changes_a_file(bake: Callable[..., BakedProject], question: str) -> None:
    before, after = bake(), bake(**{question: OTHER[question]})
    assert tree(after.path) != tree(before.path)


def test_names_are_legal_on_windows() -> None:
    """A Windows checkout of the template, and every file that it renders."""
    illegal = set('<>:"|?*\\')
    devices = {"aux", "con", "nul", "prn"}
    for path in TEMPLATE.joinpath(PROJECT).rglob("*"):
        assert not illegal & set(path.name), path
        assert not path.name.endswith((" ", ".")), path
        assert path.name.partition(".")[0].lower() not in devices, path


def test_names_differ_in_more_than_case() -> None:
    names = [path.as_posix().lower() for path in TEMPLATE.joinpath(PROJECT).rglob("*")]
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_cookiecutter_pytest_cookies_and_cruft_make_the_same_tree(
    bake: Callable[..., BakedProject], tmp_path: Path, config_file: str
) -> None:
    template = copy_template(tmp_path / "template")
    create_repository(template)
    made = {"pytest-cookies": tree(bake().path)}
    for tool in (["cookiecutter"], ["cruft", "create"]):
        output_dir = tmp_path / tool[0]
        output_dir.mkdir()
        subprocess.run(
            [
                *[sys.executable, "-m", *tool, "--no-input", "--config-file", config_file],
                *["--output-dir", str(output_dir), str(template)],
            ],
            check=True,
        )
        [project] = output_dir.iterdir()
        made[tool[0]] = tree(project)
    del made["cruft"][".cruft.json"]
    assert made["cookiecutter"] == made["pytest-cookies"]
    assert made["cruft"] == made["pytest-cookies"]
    subprocess.run([sys.executable, "-m", "cruft", "check"], cwd=project, check=True)
