"""Every combination of answers makes its own files and no others, whatever tool makes it."""

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
    add_to_questions,
    answer_of,
    copy_template,
    create_repository,
    files_by_answer,
    questions,
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


# Which files belong to which answer; those of None are in every project.
OWNERS: dict[tuple[str, Any] | None, list[str]] = files_by_answer(TEMPLATE, "acme_orders")


# The quick tests take these few of them, which have each answer together with each other one.
QUICK = [
    "async yes yes yes github",
    "sync no no no none",
    "async no no yes gitlab",
    "sync yes yes no gitlab",
    "async no yes no none",
    "sync yes no yes none",
    "sync no no no github",
]


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(answers, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
        for answers in ANSWERS
        for name in [" ".join(answers.values())]
    ],
)
def test_a_project_has_the_files_of_its_answers(
    bake: Callable[..., BakedProject], render: Callable[..., BakedProject], answers: dict[str, Any]
) -> None:
    files = tree(bake(**answers).path)
    unhooked = tree(render(**answers).path)  # which other tests look at
    assert {
        path for path in files.keys() | unhooked if files.get(path) != unhooked.get(path)
    } == set()
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


def ownerless(template: Path) -> tuple[set[str], set[str]]:
    """What FILES does not name, so that it would stay in every project; and what only it names."""
    paths = {
        path.relative_to(template / PROJECT)
        .as_posix()
        .replace("{{cookiecutter.project_slug}}", "acme_orders")
        for path in (template / PROJECT).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    files = files_by_answer(template, "acme_orders").values()
    owned = {path for owner in files for path in owner}
    return paths - owned, owned - paths


def test_every_file_is_owned_by_an_answer_or_by_all() -> None:
    stray, missing = ownerless(TEMPLATE)
    assert stray == set(), "belong to no answer: list them in hooks/post_gen_project.py"
    assert missing == set(), "are listed in hooks/post_gen_project.py, and are not there"


def test_a_file_without_an_owner_is_found(tmp_path: Path) -> None:
    template = copy_template(tmp_path / "template")
    (template / PROJECT / "README.md").rename(template / PROJECT / "docs" / "read-me.md")
    assert ownerless(template) == ({"docs/read-me.md"}, {"README.md"})


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


Render = Callable[..., BakedProject]


def idle_answers(render: Render, question: str, template: Path = TEMPLATE) -> list[Any]:
    """The answers to a question that make the same text as another answer to it."""
    default = questions(template)[question]
    if isinstance(default, list):
        answers = default
    elif isinstance(default, bool):
        answers = ["yes", "no"]
    else:
        assert question in OTHER, f"{question} needs another answer here, in OTHER"
        answers = [None, OTHER[question]]
    made: dict[str, Any] = {}
    for answer in answers:
        project = render(template, **{} if answer is None else {question: answer})
        made.setdefault(repr(tree(project.path)), answer)
    return [answer for answer in answers if answer not in made.values()]


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_answer_changes_a_file(render: Render, question: str) -> None:
    assert idle_answers(render, question) == []


def test_an_answer_that_changes_nothing_is_found(render: Render, tmp_path: Path) -> None:
    template = copy_template(tmp_path / "template")
    add_to_questions(template, color=["red", "blue"])
    assert idle_answers(render, "color", template) == ["blue"]


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
