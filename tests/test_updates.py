"""A project with its owner's own edits takes over updates, and changes of mind, with cruft."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import PROJECT, BakedProject, copy_template, create_repository, tree

pytestmark = pytest.mark.slow

SLUG = "acme"
MIGRATION = "migrations/versions/2026-11-22_120000_create_users_and_posts.py"

# Each answer that may change its mind, there and back. Half a minute each on a small machine, so
# that those which change a few lines or leave files out run with `-m long` only.
CHANGES: list[dict[str, Any]] = [
    {"engine": "sync"},
    {"fastapi": False},
    {"example_models": False},
    {"ci": "gitlab"},
]
LONG_CHANGES: list[dict[str, Any]] = [
    {"docker": False},
    {"ci": "none"},
    {"python_version": "3.13"},
    {"pool_size": "7", "max_connections": "80"},
    {"description": "Another description."},
]


@pytest.fixture
def cruft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run cruft without the developer's own configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("COOKIECUTTER_CONFIG", raising=False)

    def cruft(command: str, *arguments: str, cwd: Path = tmp_path) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "cruft", command, *arguments],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return cruft


@pytest.fixture
def template(tmp_path: Path) -> Path:
    return create_repository(copy_template(tmp_path / "template"))


def create(cruft: Callable[..., str], template: Path, **answers: Any) -> Path:
    answers = {"project_slug": SLUG, **answers}
    cruft("create", "--no-input", "--extra-context", json.dumps(answers), str(template))
    return create_repository(template.parent / SLUG)


def edit(project: Path) -> dict[str, bytes]:
    """What an owner does: a module of their own, a revision on top, and lines in our files."""
    versions = project / "src" / SLUG / "migrations" / "versions"
    head = max(versions.glob("2*.py"))
    [root] = [line for line in head.read_text().splitlines() if line.startswith("revision")]
    added = {
        versions / "2027-01-01_000000_mine.py": f'revision = "mine"\ndown_{root}\n',
        project / "src" / SLUG / "mine.py": "MINE = 1\n",
    }
    for path, text in added.items():
        path.write_text(text)
    for path in (project / "README.md", project / ".gitignore", project / "docs" / "testing.md"):
        path.write_text(path.read_text() + "\nmine\n")
    create_repository(project, "Mine")
    return {str(path.relative_to(project)): path.read_bytes() for path in added}


def files_of(project: Path) -> dict[str, bytes | None]:
    return {
        path: content
        for path, content in tree(project).items()
        if content is not None and not path.startswith(".git/") and path != ".cruft.json"
    }


def with_the_edits(
    fresh: dict[str, bytes | None], added: dict[str, bytes]
) -> dict[str, bytes | None]:
    edited = dict(fresh)
    for path in ("README.md", ".gitignore", "docs/testing.md"):
        edited[path] = (edited[path] or b"") + b"\nmine\n"
    return edited | added


@pytest.mark.parametrize(
    "change",
    [*CHANGES, *(pytest.param(change, marks=pytest.mark.long) for change in LONG_CHANGES)],
    ids=lambda change: " ".join(f"{k}={v}" for k, v in change.items()),
)
def test_a_change_of_mind_is_a_fresh_render_plus_the_edits(
    cruft: Callable[..., str],
    template: Path,
    bake_from: Callable[..., BakedProject],
    change: dict[str, Any],
) -> None:
    project = create(cruft, template)
    added = edit(project)
    versions = f"src/{SLUG}/migrations/versions/"
    applied = {path: text for path, text in files_of(project).items() if path.startswith(versions)}
    printed = cruft("update", "-y", "--variables-to-update", json.dumps(change), cwd=project)
    assert "is ready" not in printed  # the directories that it speaks of have vanished
    fresh = bake_from(template, extra_context={"project_slug": SLUG, **change}).path
    expected = with_the_edits(files_of(fresh), added)
    # Databases have these revisions, whose removal would leave them at an unknown one.
    assert files_of(project) == expected | applied
    create_repository(project, "Change")
    back = {key: QUESTIONS_DEFAULTS[key] for key in change}
    cruft("update", "-y", "--variables-to-update", json.dumps(back), cwd=project)
    fresh = bake_from(
        template, extra_context={"project_slug": SLUG}, output_dir=str(template.parent / "again")
    ).path
    assert files_of(project) == with_the_edits(files_of(fresh), added)


QUESTIONS_DEFAULTS: dict[str, Any] = {
    "engine": "async",
    "fastapi": True,
    "example_models": True,
    "docker": True,
    "ci": "github",
    "python_version": "3.11",
    "pool_size": "10",
    "max_connections": "100",
    "description": "Acme Orders on PostgreSQL.",
}


def test_models_can_be_added_later(
    cruft: Callable[..., str], template: Path, bake_from: Callable[..., BakedProject]
) -> None:
    project = create(cruft, template, example_models=False)
    cruft("update", "-y", "--variables-to-update", '{"example_models": true}', cwd=project)
    fresh = bake_from(template, extra_context={"project_slug": SLUG}).path
    assert files_of(project) == files_of(fresh)


@pytest.mark.parametrize("change", [{}, {"example_models": False}])
def test_an_update_never_touches_a_revision(
    cruft: Callable[..., str], template: Path, change: dict[str, Any]
) -> None:
    """Not even if a later version of the template renames, edits or drops it."""
    project = create(cruft, template)
    added = edit(project)
    versions = project / "src" / SLUG / "migrations" / "versions"
    before = tree(versions)
    path = template / PROJECT / "src/{{cookiecutter.project_slug}}" / MIGRATION
    hook = template / "hooks" / "post_gen_project.py"
    path.rename(path.with_name("2030-01-01_000000_another.py"))
    hook.write_text(hook.read_text().replace(path.name, "2030-01-01_000000_another.py"))
    readme = template / PROJECT / "README.md"
    readme.write_text(
        readme.read_text().replace(
            "# {{ cookiecutter.project_name }}\n", "# {{ cookiecutter.project_name }}\n\nNew.\n"
        )
    )
    create_repository(template, "A later version")
    cruft("update", "-y", "--variables-to-update", json.dumps(change), cwd=project)
    assert tree(versions) == before
    assert "\nNew.\n" in (project / "README.md").read_text()
    assert (project / "README.md").read_text().endswith("\nmine\n")
    assert (project / "src" / SLUG / "mine.py").read_bytes() in added.values()


def test_a_diff_and_a_check_print_nothing_of_ours(
    cruft: Callable[..., str], template: Path
) -> None:
    project = create(cruft, template)
    assert "is ready" not in cruft("diff", cwd=project)
    assert "is ready" not in cruft("check", cwd=project)


def test_create_prints_what_to_do_next(cruft: Callable[..., str], template: Path) -> None:
    answers = json.dumps({"project_slug": SLUG})
    printed = cruft("create", "--no-input", "--extra-context", answers, str(template))
    assert f'cd "{SLUG}"' in printed or f'{SLUG}"' in printed
    assert "uv sync" in printed


def test_a_project_in_a_monorepo_is_linted_and_updated(
    cruft: Callable[..., str], template: Path, bake_from: Callable[..., BakedProject]
) -> None:
    """From the root as pre-commit does, and from its own directory."""
    root = template.parent / "monorepo"
    project = root / "services" / SLUG
    answers = json.dumps({"project_slug": SLUG})
    services = ["--output-dir", str(project.parent)]
    cruft("create", "--no-input", "--extra-context", answers, *services, str(template))
    create_repository(root)
    sources = [str(path.relative_to(root)) for path in project.rglob("*.py")]
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--force-exclude", *sources]
        subprocess.run(ruff, cwd=root, check=True)
    cruft("update", "-y", "--variables-to-update", '{"engine": "sync"}', cwd=project)
    fresh = bake_from(template, extra_context={"project_slug": SLUG, "engine": "sync"}).path
    assert files_of(project) == files_of(fresh)
