"""What the rendered documents tell a reader to do works as it stands, block by block."""

import configparser
import sys
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from execute_documents import main as execute_documents
from projects import KINDS, KINDS_IN_PAIRS, BakedProject, tree

pytestmark = pytest.mark.slow

FOLLOW = str(Path(__file__).with_name("execute_documents.py"))
# In the order of reading: the first defines the models, where a project starts without them.
DOCUMENTS = ["queries", "sessions", "transactions", "jobs", "connection-pooling", "testing"]
# These change the schema: each is followed in a project of its own.
MIGRATIONS = "docs/migrations.md"
ADOPTION = "docs/adopting-a-database.md"
# This one changes the code.
SERVICE = "docs/service.md"


def follow(project: BakedProject, *documents: str) -> str:
    """Do what the documents say, on the project's private development server."""
    # This environment has what any project needs; a sync one does without pytest-asyncio.
    unused = "-p no:asyncio" if project.answers["engine"] == "sync" else ""
    environment = ["env", f"PYTEST_ADDOPTS={unused}"]
    return project.run("dev", *environment, sys.executable, "-W", "error", FOLLOW, *documents)


@pytest.mark.parametrize("answers", KINDS_IN_PAIRS)
def test_every_block_of_the_documents_works(
    bake: Callable[..., BakedProject], answers: dict[str, Any]
) -> None:
    project = bake(**answers)
    documents = [f"docs/{name}.md" for name in DOCUMENTS]
    in_other_projects = [MIGRATIONS, ADOPTION, *([SERVICE] if answers["fastapi"] == "yes" else [])]
    there = {path.relative_to(project.path).as_posix() for path in project.path.glob("docs/*.md")}
    assert there == {*documents, *in_other_projects}
    readme = (project.path / "README.md").read_text()
    assert [path for path in there if f"]({path}) |" not in readme] == []  # says what each answers
    before = {path: text for path, text in tree(project.package).items() if path.endswith(".py")}
    done = follow(project, *documents)
    assert done.count(" blocks\n") == len(documents)
    if answers["example_models"] == "yes":  # the documents show the files that are there
        after = tree(project.package)
        assert {path: after[path] for path in before} == before


# FastAPI changes nothing in that document.
@pytest.mark.parametrize("answers", [KINDS[0], KINDS[3], KINDS[4], KINDS[7]])
def test_every_block_about_migrations_works(
    bake: Callable[..., BakedProject], answers: dict[str, Any]
) -> None:
    follow(bake(**answers), MIGRATIONS)


@pytest.mark.parametrize("engine", ["async", "sync"])
def test_every_block_about_adopting_a_database_works(
    bake: Callable[..., BakedProject], engine: str
) -> None:
    follow(bake(engine=engine, example_models="no"), ADOPTION)


@pytest.mark.parametrize("engine", ["async", "sync"])
@pytest.mark.parametrize("models", ["yes", "no"], ids=lambda answer: f"models-{answer}")
def test_every_block_about_the_service_works(
    bake: Callable[..., BakedProject], engine: str, models: str, mypy_cache: Path
) -> None:
    project = bake(engine=engine, example_models=models)
    follow(project, SERVICE)
    project.run("ruff", "check", "--no-cache")
    project.run("ruff", "format", "--check", "--no-cache")
    project.run("mypy", "--strict", "--cache-dir", str(mypy_cache))


@pytest.mark.parametrize(
    ("block", "error", "message"),
    [
        pytest.param("```python\nassert 1 == 2, 12\n```", AssertionError, "12", id="python"),
        pytest.param("```python\nawait missing()\n```", NameError, "missing", id="await"),
        pytest.param("```console\n$ false\n```", AssertionError, "false", id="status"),
        pytest.param("```console\n$ echo 1\n…2…\n```", AssertionError, "echo 1", id="output"),
        pytest.param("```console\nfalse\n```", AssertionError, "no command", id="no-command"),
        pytest.param("```sql\nSELECT 1\n```", psycopg.OperationalError, "refused", id="no-server"),
        pytest.param("`x`\n\n```diff\n-y\n```", FileNotFoundError, "x", id="diff"),
        pytest.param("```diff\n-y\n```", AssertionError, "no file", id="diff-of-nothing"),
        pytest.param("```ini\nx\n```", configparser.Error, "section", id="ini"),
        pytest.param("```yaml\n{\n```", yaml.YAMLError, "expected", id="yaml"),
        pytest.param("```toml\na =\n```", tomllib.TOMLDecodeError, "Invalid", id="toml"),
        pytest.param("```ruby\nputs 1\n```", AssertionError, "nobody executes", id="ruby"),
        pytest.param("1. ```python\n   a\n   ```", AssertionError, "not executed", id="indented"),
    ],
)
def test_a_broken_block_is_noticed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    block: str,
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nowhere")
    Path("broken.md").write_text(f"# Broken\n\n{block}\n")
    with pytest.raises(error, match=message) as failure:
        execute_documents(["broken.md"])
    assert "broken.md:" in "".join(traceback.format_exception(failure.value))
