"""Every combination of answers makes its own files and no others, whatever tool makes it."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import PROJECT, QUESTIONS, TEMPLATE, BakedProject, copy_template, tree

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
PACKAGE = "src/acme_orders"
# What only these answers have; every other file of the template is in every project.
OPTIONAL = {
    "Dockerfile": {"docker": "yes"},
    "compose.yaml": {"docker": "yes"},
    ".dockerignore": {"docker": "yes"},
    ".github/workflows/ci.yml": {"ci": "github"},
    ".gitlab-ci.yml": {"ci": "gitlab"},
    f"{PACKAGE}/api/app.py": {"fastapi": "yes"},
    f"{PACKAGE}/api/users.py": {"fastapi": "yes", "example_models": "yes"},
    f"{PACKAGE}/api/posts.py": {"fastapi": "yes", "example_models": "yes"},
    f"{PACKAGE}/api/schemas.py": {"fastapi": "yes", "example_models": "yes"},
    f"{PACKAGE}/models/user.py": {"example_models": "yes"},
    f"{PACKAGE}/models/post.py": {"example_models": "yes"},
    f"{PACKAGE}/queries/users.py": {"example_models": "yes"},
    f"{PACKAGE}/queries/posts.py": {"example_models": "yes"},
    "dev/seed.py": {"example_models": "yes"},
    "tests/factories.py": {"example_models": "yes"},
    "tests/test_models.py": {"example_models": "yes"},
    "tests/test_queries.py": {"example_models": "yes"},
    "tests/test_cancellation.py": {"engine": "async"},
    "tests/api/clients.py": {"fastapi": "yes"},
    "tests/api/test_health.py": {"fastapi": "yes"},
    "tests/api/test_users.py": {"fastapi": "yes", "example_models": "yes"},
    "tests/api/test_posts.py": {"fastapi": "yes", "example_models": "yes"},
}
ALWAYS = [
    "README.md",
    "alembic.ini",
    "dev/__init__.py",
    "pyproject.toml",
    f"{PACKAGE}/database/engine.py",
    f"{PACKAGE}/database/session.py",
    f"{PACKAGE}/migrations/env.py",
    f"{PACKAGE}/models/__init__.py",
    f"{PACKAGE}/settings.py",
]


@pytest.mark.slow
@pytest.mark.parametrize("answers", [pytest.param(a, id=" ".join(a.values())) for a in ANSWERS])
def test_a_project_has_the_files_of_its_answers(
    bake: Callable[..., BakedProject], answers: dict[str, Any]
) -> None:
    files = tree(bake(**answers).path)
    expected = {path: needs.items() <= answers.items() for path, needs in OPTIONAL.items()}
    assert {path: path in files for path in expected} == expected
    assert set(ALWAYS) <= files.keys()
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
    author = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=template, check=True)
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
