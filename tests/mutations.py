"""Faults of the template, and who notices them: `python tests/mutations.py` prints the table.

Each is a slip that a maintainer can make: a file is lost, a macro forgotten, an answer hard-coded.
The hook must catch it while the project is made. What it leaves to the linters is listed as such.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from projects import PROJECT, copy_template

PACKAGE = "src/{{cookiecutter.project_slug}}"
VERSIONS = f"{PACKAGE}/migrations/versions"
MIGRATION = f"{VERSIONS}/2026-11-22_120000_create_users_and_posts.py"
CI = ".github/workflows/ci.yml"
HOOK = "../hooks/post_gen_project.py"
SYNC = {"engine": "sync"}
OTHER = {  # none of the defaults, so that what is hard-coded differs
    "project_slug": "acme",
    "project_name": "Acme Mutations",
    "description": "Mutations.",
    "author_name": "Somebody",
    "python_version": "3.13",
    "pool_size": "7",
    "max_overflow": "1",
    "max_connections": "120",
}

Edit = Callable[[str], str]


class Mutation(NamedTuple):
    """An edit of one file of the template, which may be a new one. None deletes the file."""

    path: str
    edit: Edit | None
    answers: Mapping[str, str] = MappingProxyType({})


def append(text: str) -> Edit:
    return lambda before: before + text


def raw(text: str) -> Edit:
    return append(f"{{% raw %}}{text}{{% endraw %}}\n")


def put(text: str) -> Edit:
    return lambda _: text


def sub(pattern: str, replacement: str) -> Edit:
    def edit(before: str) -> str:
        after, count = re.subn(pattern, replacement, before, flags=re.MULTILINE)
        assert count, f"{pattern} is not there to be changed"
        return after

    return edit


def forget_macro(text: str) -> str:
    """Take a file out of the engine macro: its asynchronous source is then in every project."""
    text, count = re.subn(r"\{% call for_engine\(\) %\}\n?|\{% endcall %\}\n?", "", text)
    assert count, "there is no macro to forget"
    return text


def code(*lines: str) -> Edit:
    return append("\n```python\n" + "\n".join(lines) + "\n```\n")


DELETED = [
    "README.md",
    "pyproject.toml",
    "alembic.ini",
    ".gitignore",
    ".env.example",
    CI,
    "Dockerfile",
    "docs/testing.md",
    "tests/conftest.py",
    f"{PACKAGE}/settings.py",
    f"{PACKAGE}/api/__init__.py",
    f"{PACKAGE}/database/engine.py",
    f"{PACKAGE}/migrations/env.py",
    f"{VERSIONS}/__init__.py",
]
EMPTIED = ["README.md", "Dockerfile", "pyproject.toml", f"{PACKAGE}/settings.py", "docs/queries.md"]
OUTSIDE_THE_MACRO = [
    "README.md",
    "docs/sessions.md",
    "docs/transactions.md",
    "tests/conftest.py",
    f"{PACKAGE}/api/users.py",
    f"{PACKAGE}/api/posts.py",
    f"{PACKAGE}/database/route.py",
    f"{PACKAGE}/queries/pages.py",
    f"{PACKAGE}/queries/users.py",
]

CAUGHT_BY_THE_HOOK: dict[str, Mutation] = {
    **{f"{path} is lost": Mutation(path, None) for path in DELETED},
    **{f"{path} is emptied": Mutation(path, put("{% if false %}x{% endif %}")) for path in EMPTIED},
    **{
        f"{path} is outside the macro": Mutation(path, forget_macro, SYNC)
        for path in OUTSIDE_THE_MACRO
    },
    "two migrations with one revision id": Mutation(
        f"{VERSIONS}/copy.py", put(f'{{% include "{MIGRATION}" %}}\n')
    ),
    "a second base": Mutation(
        f"{VERSIONS}/second.py",
        put('revision = "b"\ndown_revision = None\ndef upgrade(): ...\ndef downgrade(): ...\n'),
    ),
    "a migration that follows nothing": Mutation(MIGRATION, sub("= None$", '= "nowhere"')),
    "a migration that follows itself": Mutation(
        MIGRATION,
        lambda text: sub("= None$", "= " + re.findall('"([0-9a-f]+)"', text)[0].join('""'))(text),
    ),
    "a migration without downgrade": Mutation(MIGRATION, sub(r"def downgrade", "def down")),
    "a migration without an id": Mutation(MIGRATION, sub(r"^revision\b", "revised")),
    "await in sync code": Mutation(
        f"{PACKAGE}/queries/__init__.py", append("async def f(x):\n    return await x\n"), SYNC
    ),
    "await in a sync document": Mutation("docs/queries.md", code("await database.ping()"), SYNC),
    "async with in a sync README": Mutation(
        "README.md", code("async with database.transaction() as session:", "    ..."), SYNC
    ),
    "async def in a sync test": Mutation(
        "tests/test_status.py", append("async def test_x() -> None: ...\n"), SYNC
    ),
    "with in an async document": Mutation(
        "docs/queries.md", code("with database.transaction() as session:", "    ...")
    ),
    "the async engine in sync code": Mutation(
        f"{PACKAGE}/__init__.py", append("import sqlalchemy.ext.asyncio\n"), SYNC
    ),
    "psycopg in an async project": Mutation("README.md", append("Uses psycopg.\n")),
    "asyncpg in a sync project": Mutation("README.md", append("Uses asyncpg.\n"), SYNC),
    "FastAPI in a library": Mutation("docs/testing.md", append("FastAPI\n"), {"fastapi": "no"}),
    "compose without containers": Mutation(
        "README.md", append("docker compose up\n"), {"docker": "no"}
    ),
    "a module of models that are not there": Mutation(
        "docs/queries.md", append("See `queries/users.py`.\n"), {"example_models": "no"}
    ),
    "FILES forgets the application": Mutation(
        HOOK, sub(r'^.*PACKAGE}/api/app.py",\n', ""), {"fastapi": "no"}
    ),
    "FILES forgets a model": Mutation(
        HOOK, sub(r'^.*PACKAGE}/models/post.py",\n', ""), {"example_models": "no"}
    ),
    "pool_size is hard-coded": Mutation(
        f"{PACKAGE}/settings.py", sub(r"\{\{ cookiecutter.pool_size }}", "10")
    ),
    "pool_size is hard-coded in .env.example": Mutation(
        ".env.example", sub(r"\{\{ cookiecutter.pool_size }}", "10")
    ),
    "max_connections is hard-coded": Mutation(
        "compose.yaml", sub(r"\{\{ cookiecutter.max_connections }}", "100")
    ),
    "Python is hard-coded in the image": Mutation(
        "Dockerfile", sub(r"\{\{ cookiecutter.python_version }}", "3.11")
    ),
    "Python is hard-coded in CI": Mutation(CI, sub(r"\{\{ cookiecutter.python_version }}", "3.11")),
    "Python is hard-coded in GitLab": Mutation(
        ".gitlab-ci.yml", sub(r"\{\{ cookiecutter.python_version }}", "3.11"), {"ci": "gitlab"}
    ),
    "Python is hard-coded in pyproject": Mutation(
        "pyproject.toml", sub(r">=\{\{ cookiecutter.python_version }}", ">=3.11")
    ),
    "the description is hard-coded": Mutation(
        "pyproject.toml", sub(r"\{\{ quoted\(cookiecutter.description\) }}", '"A service."')
    ),
    "the author is hard-coded": Mutation(
        "pyproject.toml", sub(r"\{\{ quoted\(cookiecutter.author_name\) }}", '"Me"')
    ),
    "the title is hard-coded": Mutation(
        "README.md", sub(r"\{\{ cookiecutter.project_name }}", "Acme")
    ),
    "the driver is not required": Mutation("pyproject.toml", sub('^ +"asyncpg>.*\n', "")),
    "FastAPI is not required": Mutation("pyproject.toml", sub('^ +"fastapi>.*\n', "")),
    "Alembic is not required": Mutation("pyproject.toml", sub('^ +"alembic>.*\n', "")),
    "a condition without its else": Mutation(
        f"{PACKAGE}/settings.py", append("class Settings:\n    x = 1\n")
    ),
    "a test that hides another": Mutation(
        "tests/test_status.py", append("def test_x():\n    ...\ndef test_x():\n    ...\n")
    ),
    "__all__ names what is not there": Mutation(
        f"{PACKAGE}/queries/__init__.py", append('__all__ = ["nothing"]\n')
    ),
    "an import of a module that is lost": Mutation(
        f"{PACKAGE}/__main__.py", append("from .nowhere import x\n")
    ),
    "an import of a name that is lost": Mutation(
        "tests/conftest.py", append("from {{ cookiecutter.project_slug }}.settings import Lost\n")
    ),
    "Python that does not parse": Mutation("tests/test_status.py", append("def broken(:\n")),
    "return outside of a function": Mutation("dev/__init__.py", append("return 1\n")),
    "await outside of a coroutine": Mutation(
        f"{PACKAGE}/__init__.py", append("def f(x):\n    await x\n")
    ),
    "an expression in Python": Mutation(f"{PACKAGE}/__init__.py", raw('x = "{{ slug }}"')),
    "a tag in a document": Mutation("docs/queries.md", raw("{% if x %}")),
    "the end of a tag": Mutation("docs/queries.md", append("endif -%}\n")),
    "a comment of Jinja": Mutation("compose.yaml", raw("# {# x #}")),
    "an answer by its name": Mutation(
        f"{PACKAGE}/__init__.py", append('x = "cookie' + 'cutter.engine"\n')
    ),
    "YAML that does not parse": Mutation(CI, append("a: b: c\n")),
    "a key twice in YAML": Mutation("compose.yaml", append("volumes:\n  other:\n")),
    "a table twice in TOML": Mutation("pyproject.toml", append("[project]\n")),
    "INI that does not parse": Mutation("alembic.ini", append("broken\n")),
    "JSON that does not parse": Mutation("extra.json", put('{"a": 1,}\n')),
    "a URL in alembic.ini": Mutation("alembic.ini", append("x = postgresql://localhost\n")),
    "script_location leads nowhere": Mutation(
        "alembic.ini", sub("^script_location = .*", "script_location = acme:nowhere")
    ),
    "no script_location": Mutation("alembic.ini", sub("^script_location = .*\n", "")),
    "the image starts what is not there": Mutation(
        "Dockerfile", sub(r"app:app", "app:application")
    ),
    "the entry point leads nowhere": Mutation("pyproject.toml", sub(r"api\.app:app", "app:app")),
    "a link to a document that is lost": Mutation("README.md", append("[x](docs/lost.md)\n")),
    "a link to a heading that is lost": Mutation(
        "README.md", append("[x](docs/queries.md#lost)\n")
    ),
    "a code block without an end": Mutation("docs/queries.md", append("\n```python\nx = 1\n")),
}
LEFT_TO_THE_TESTS: dict[str, Mutation] = {
    "a name that is not defined": Mutation(
        f"{PACKAGE}/__main__.py", append("\n\ndef f() -> int:\n    return undefined\n")
    ),
    "a wrong type": Mutation(
        f"{PACKAGE}/__main__.py", append('\n\ndef f() -> int:\n    return "x"\n')
    ),
    "an import that is not used": Mutation(f"{PACKAGE}/__init__.py", append("import os\n")),
}


def mutate(template: Path, mutation: Mutation) -> dict[str, str]:
    """Apply the fault to a copy of the template; the answers that show it."""
    path = template / PROJECT / mutation.path
    if mutation.edit:
        path.write_text(mutation.edit(path.read_text() if path.exists() else ""))
    else:
        path.unlink()
    return {**OTHER, **mutation.answers}


def judge(mutation: Mutation) -> str:
    """Who notices the fault: the hook, ruff, mypy, or nobody before the suites run."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        template = copy_template(directory / "template")
        answers = mutate(template, mutation)
        command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config"]
        command += ["-o", str(directory), str(template)]
        command += [f"{key}={value}" for key, value in answers.items()]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            assert re.search(r"^ERROR: \S+:\d+: ", made.stderr, re.MULTILINE), made.stderr
            return "the hook"
        for tool in (["ruff", "check", "--no-cache"], ["mypy", "--strict"]):
            command = [sys.executable, "-m", *tool]
            if subprocess.run(
                command, cwd=directory / "acme", capture_output=True, check=False
            ).returncode:
                return tool[0]
    return "nobody yet"


if __name__ == "__main__":
    print("| fault | noticed by |\n|---|---|")
    for name, mutation in {**CAUGHT_BY_THE_HOOK, **LEFT_TO_THE_TESTS}.items():
        print(
            f"| {name.replace('{{cookiecutter.project_slug}}', '<slug>')} | {judge(mutation)} |",
            flush=True,
        )
