"""A template with a fault makes no project: the hook names the file, the line and the fault."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
from mutations import CAUGHT_BY_THE_HOOK, mutate
from projects import PROJECT, TEMPLATE, BakedProject, copy_template, tree

PACKAGE = "src/{{cookiecutter.project_slug}}"
MODULE = f"{PACKAGE}/database/__init__.py"


class Fault(NamedTuple):
    """Text that is added at the end of a file, and what the hook says of it."""

    path: str
    text: str
    error: str
    answers: Mapping[str, str] = MappingProxyType({})


def jinja(text: str) -> str:
    return f"{{% raw %}}{text}{{% endraw %}}\n"


FAULTS = {
    "python": Fault(MODULE, "def broken(:\n", "invalid syntax"),
    "python-scope": Fault(MODULE, "return\n", "'return' outside function"),
    "relative-import": Fault(
        MODULE, "from .nowhere import x\n", "imports from .nowhere, which does not exist"
    ),
    "relative-name": Fault(
        MODULE, "from ..settings import Nothing\n", "imports Nothing, which acme.settings lacks"
    ),
    "import-beyond-the-project": Fault(
        MODULE, "from .... import x\n", "imports from ...., which does not exist"
    ),
    "import-in-a-function": Fault(
        MODULE,
        "def f():\n    from . import nowhere\n",
        "imports nowhere, which acme.database lacks",
    ),
    "import-in-a-branch": Fault(
        MODULE, "if Base:\n    pass\nelse:\n    from . import nowhere\n", "imports nowhere, which"
    ),
    "absolute-import": Fault(
        MODULE, "import {{ cookiecutter.project_slug }}.nowhere\n", "imports acme.nowhere, which"
    ),
    "absolute-name": Fault(
        "dev/__init__.py",
        "from {{ cookiecutter.project_slug }}.settings import Nothing\n",
        "imports Nothing, which acme.settings lacks",
    ),
    "import-of-dev": Fault(MODULE, "from dev import Nothing\n", "imports Nothing, which dev lacks"),
    "jinja-expression": Fault("README.md", jinja("{{ x }}"), "holds '{{', which"),
    "jinja-beside-a-workflow": Fault("README.md", jinja("${{ x }} {{ y }}"), "holds '{{', which"),
    "jinja-block": Fault("README.md", jinja("{% if x %}"), "holds '{%', which"),
    "jinja-comment": Fault("README.md", jinja("{# x #}"), "holds '{#', which"),
    "jinja-end": Fault("README.md", "endif %}\n", "holds ' %}', which"),
    "cookiecutter": Fault("README.md", "cookie" + "cutter.engine\n", "holds 'cookiecutter', which"),
    "toml": Fault("pyproject.toml", "broken = \n", "Invalid value"),
    "toml-twice": Fault("pyproject.toml", "[project]\n", "Cannot declare ('project',) twice"),
    "ini": Fault("alembic.ini", "broken\n", "Source contains parsing errors"),
    "ini-twice": Fault("alembic.ini", "[alembic]\n", "section 'alembic' already exists"),
    "yaml": Fault("compose.yaml", "a: b: c\n", "mapping values are not allowed in this context"),
    "yaml-anchor": Fault("compose.yaml", "x: *nowhere\n", "found undefined alias"),
    "json": Fault("broken.json", '{\n"a": 1,\n}\n', "Expecting property name"),
    "url": Fault("alembic.ini", "x = postgresql://localhost\n", "holds a URL"),
    "url-key": Fault("alembic.ini", "sqlalchemy.url = %(here)s\n", "holds a URL"),
    "driver-of-async": Fault(
        "README.md", "Uses asyncpg.\n", "holds 'asyncpg', which", {"engine": "sync"}
    ),
    "driver-of-sync": Fault(
        "README.md", "Uses psycopg.\n", "holds 'psycopg', which", {"engine": "async"}
    ),
    "driver-beside-another": Fault(
        "README.md", "Not psycopg2, but psycopg.\n", "holds 'psycopg', which"
    ),
    "fastapi": Fault("README.md", "FastAPI\n", "holds 'FastAPI', which", {"fastapi": "no"}),
    "link": Fault("README.md", "[x](docs/nowhere.md#y)\n", "links to docs/nowhere.md, which does"),
    "empty": Fault("empty.txt", "{% if false %}x{% endif %}\n", "is empty"),
}


# A few of the checks; the others are slow only because they are many.
QUICK = {"python", "relative-import", "jinja-expression", "driver-of-async"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in FAULTS],
)
def test_a_fault_is_refused_with_file_and_line(
    refuse: Callable[..., list[str]], tmp_path: Path, name: str
) -> None:
    fault = FAULTS[name]
    template = copy_template(tmp_path / "template")
    with (template / PROJECT / fault.path).open("a") as file:
        file.write(fault.text)
    answers = {"project_slug": "acme", **fault.answers}
    errors = refuse(template, extra_context=answers, keep_project_on_failure=True)
    rendered = tmp_path / "out" / "acme" / fault.path.replace(PACKAGE, "src/acme")
    lines = rendered.read_text().count("\n")
    places = [f"{rendered.relative_to(tmp_path / 'out' / 'acme')}:{n}" for n in (lines, lines + 1)]
    assert any(
        error.startswith(f"ERROR: {place}: ") and fault.error in error
        for error in errors
        for place in places
    ), errors


@pytest.mark.slow
@pytest.mark.parametrize("name", CAUGHT_BY_THE_HOOK)
def test_a_slip_of_a_maintainer_is_caught(
    refuse: Callable[..., list[str]], tmp_path: Path, name: str
) -> None:
    template = copy_template(tmp_path / "template")
    answers = mutate(template, CAUGHT_BY_THE_HOOK[name])
    errors = refuse(template, extra_context=answers)
    assert errors
    assert all(re.match(r"ERROR: \S+:\d+: ", error) for error in errors)


def test_all_faults_are_named_at_once_and_nothing_is_left(
    refuse: Callable[..., list[str]], tmp_path: Path
) -> None:
    template = copy_template(tmp_path / "template")
    for fault in (FAULTS["python"], FAULTS["toml"], FAULTS["link"]):
        with (template / PROJECT / fault.path).open("a") as file:
            file.write(fault.text)
    assert len(refuse(template)) == 3


@pytest.mark.slow
def test_a_text_that_is_not_utf_8_is_refused(
    refuse: Callable[..., list[str]], tmp_path: Path
) -> None:
    template = copy_template(tmp_path / "template")
    (template / PROJECT / "notes.txt").write_bytes(b"caf\xe9 \0\x01\x02\x03\xff\xfe")
    assert refuse(template) == ["ERROR: notes.txt:1: is not UTF-8"]


@pytest.mark.slow
def test_a_name_that_is_only_declared_cannot_be_imported(
    refuse: Callable[..., list[str]], tmp_path: Path
) -> None:
    template = copy_template(tmp_path / "template")
    (template / PROJECT / "dev" / "a.py").write_text("declared: int\nbound: int = 1\n")
    (template / PROJECT / "dev" / "b.py").write_text("from .a import bound, declared\n")
    assert refuse(template) == ["ERROR: dev/b.py:1: imports declared, which dev.a lacks"]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["Dockerfile", f"{PACKAGE}/queries/users.py", ".gitlab-ci.yml"])
@pytest.mark.parametrize("answer", ["yes", "no"])
def test_a_table_that_names_what_the_template_lacks_is_refused(
    refuse: Callable[..., list[str]], tmp_path: Path, path: str, answer: str
) -> None:
    template = copy_template(tmp_path / "template")
    (template / PROJECT / path).unlink()
    answers = {"project_slug": "acme", "docker": answer, "example_models": answer}
    errors = refuse(template, extra_context=answers)
    missing = path.replace(PACKAGE, "src/acme")
    assert any(
        error.endswith(f"FILES names {missing}, which the template lacks") for error in errors
    )


@pytest.mark.parametrize("question", ["pool_size", "max_overflow"])
def test_a_pool_answer_that_is_not_in_the_settings_is_refused(
    refuse: Callable[..., list[str]], tmp_path: Path, question: str
) -> None:
    template = copy_template(tmp_path / "template")
    replace(template / PROJECT / PACKAGE / "settings.py", f"{{{{ cookiecutter.{question} }}}}", "3")
    [error] = refuse(template, extra_context={"project_slug": "acme", question: "7"})
    assert error.startswith("ERROR: src/acme/settings.py:")
    assert error.endswith(f": database_{question} is not 7 by default")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["env.py", "script.py.mako"])
def test_alembic_must_find_its_files(
    refuse: Callable[..., list[str]], tmp_path: Path, file: str
) -> None:
    template = copy_template(tmp_path / "template")
    (template / PROJECT / PACKAGE / "migrations" / file).unlink()
    errors = refuse(template, extra_context={"project_slug": "acme"})
    missing = f"needs src/acme/migrations/{file}, which does not exist"
    assert any("alembic.ini:" in error and error.endswith(missing) for error in errors)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("down_revision", "message"),
    [
        ("'f00d'", "follows f00d, which does not exist"),
        ("None", "is one of several bases: "),
        ("None", "is one of several heads: "),
    ],
)
def test_revisions_must_be_one_chain(
    refuse: Callable[..., list[str]], tmp_path: Path, down_revision: str, message: str
) -> None:
    template = copy_template(tmp_path / "template")
    versions = template / PROJECT / PACKAGE / "migrations" / "versions"
    (versions / "zzz.py").write_text(f'revision = "zzz"\ndown_revision = {down_revision}\n')
    errors = refuse(template, extra_context={"project_slug": "acme"})
    assert any(f"versions/zzz.py:1: {message}" in error for error in errors)


@pytest.mark.slow
def test_branches_that_are_merged_are_one_chain(
    bake_from: Callable[..., BakedProject], tmp_path: Path
) -> None:
    """As in a living project that is generated again."""
    versions = bake_from().package / "migrations" / "versions"
    *_, last = [
        line
        for path in sorted(versions.glob("2*.py"))
        for line in path.read_text().splitlines()
        if line.startswith("revision")
    ]
    head = last.split("=")[1].strip()
    for revision, down in {"one": head, "two": head, "both": "('one', 'two')"}.items():
        path = versions / f"{revision}.py"
        path.write_text(f"revision = {revision!r}\ndown_revision = {down}\n")
    bake_from(overwrite_if_exists=True)


@pytest.mark.slow
def test_a_users_own_hidden_files_are_not_checked(
    bake_from: Callable[..., BakedProject], tmp_path: Path
) -> None:
    """Regenerated over a living project, whose virtual environment holds anything."""
    for name in (".venv/lib/broken.py", ".git/empty", ".postgres/base/1"):
        path = tmp_path / "out" / "acme" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\0\xff")
    bake_from(extra_context={"project_slug": "acme"}, overwrite_if_exists=True)
    assert path.read_bytes() == b"\0\xff"


# What the template's own files may not be: each would fail the check of a file that it renders.
FOREIGN = {
    "src/acme/broken.py": b"def broken(:\n",
    "src/acme/imports.py": b"from .nowhere import x\n",
    "src/acme/migrations/versions/another.py": b"revision = 'b'\ndown_revision = None\n",
    "tests/test_mine.py": b"async def test_mine():\n    await x.y()\n",
    "deploy/values.yaml": b"a: {{ .Values.a }}\n",
    "notes.json": b"{",
    "latin.md": b"caf\xe9",
    "docs/mine.md": b"[x](lost.md) and cookiecutter.engine in FastAPI\n",
    "empty.txt": b"",
}


@pytest.mark.slow
def test_only_what_was_made_is_judged_over_an_existing_project(
    bake_from: Callable[..., BakedProject],
) -> None:
    answers = {"project_slug": "acme", "engine": "sync"}
    made = bake_from(extra_context=answers).path
    before = tree(made)
    for name, content in FOREIGN.items():
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_bytes(content)
    bake_from(extra_context=answers, overwrite_if_exists=True)
    after = tree(made)
    assert {name: after.pop(name) for name in FOREIGN} == FOREIGN
    assert after == before | {"deploy": None}


@pytest.mark.slow
def test_what_a_user_has_edited_is_kept_where_files_are_skipped(
    bake_from: Callable[..., BakedProject],
) -> None:
    """Files of answers that are no longer given among them, which would be removed."""
    answers = {"project_slug": "acme"}
    made = bake_from(extra_context=answers).path
    edited = ("Dockerfile", "src/acme/models/user.py", "pyproject.toml", "alembic.ini", "README.md")
    for name in edited:
        (made / name).write_text("mine\n")
    (made / "compose.yaml").unlink()
    before = tree(made)
    bake_from(
        extra_context=answers | {"docker": "no", "example_models": "no"},
        overwrite_if_exists=True,
        skip_if_file_exists=True,
    )
    assert tree(made) == before


@pytest.mark.slow
def test_a_file_that_is_overwritten_is_judged(
    bake_from: Callable[..., BakedProject], refuse: Callable[..., list[str]], tmp_path: Path
) -> None:
    template = copy_template(tmp_path / "template")
    bake_from(template)
    with (template / PROJECT / "README.md").open("a") as file:
        file.write(jinja("{{ x }}"))
    errors = refuse(template, overwrite_if_exists=True, keep_project_on_failure=True)
    assert any("README.md:" in error for error in errors)


CHART = """apiVersion: apps/v1
metadata:
  name: {{ include "acme.fullname" . }}
{{- if .Values.annotations }}
  annotations: {{ toYaml .Values.annotations | nindent 4 }}
{{- end }}
"""
# What teams add to their fork, as it stands in the template and in every project.
ADDED: dict[str, bytes] = {
    "docs/logo.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xfe",
    "charts/acme/Chart.yaml": b"name: acme\nversion: 1.0.0\n",
    "charts/acme/templates/deployment.yaml": CHART.encode(),
    "charts/acme/templates/_helpers.tpl": b'{{- define "acme.fullname" -}}acme{{- end }}\n',
    "charts/acme/templates/NOTES.txt": b"Installed {{ .Release.Name }}.\n",
    f"{PACKAGE}/templates/page.html": b"<p>{% if user %}{{ user.name }}{% endif %}</p>\n",
    f"{PACKAGE}/templates/mail.txt.j2": b"Hello {{ name }}\n",
    "docs/about.md": b"Made with [cookiecutter](https://cookiecutter.readthedocs.io).\n",
    "data/.gitkeep": b"",
    f"{PACKAGE}/py.typed": b"",
    "locale/de.po": b'msgid "%(name)s"\n',
}


@pytest.mark.parametrize("engine", ["async", "sync"])
def test_a_fork_may_add_what_teams_add(
    bake_from: Callable[..., BakedProject], tmp_path: Path, engine: str
) -> None:
    template = copy_template(tmp_path / "template")
    for path, content in ADDED.items():
        (template / PROJECT / path).parent.mkdir(parents=True, exist_ok=True)
        (template / PROJECT / path).write_bytes(content)
    project = bake_from(template, extra_context={"project_slug": "acme", "engine": engine})
    for path, content in ADDED.items():
        assert (project.path / path.replace(PACKAGE, "src/acme")).read_bytes() == content


@pytest.mark.slow
def test_a_fork_may_render_a_template_of_another_tool(
    bake_from: Callable[..., BakedProject], tmp_path: Path
) -> None:
    template = copy_template(tmp_path / "template")
    (template / PROJECT / "chart.yaml").write_text(
        jinja(CHART) + "slug: {{ cookiecutter.project_slug }}\n"
    )
    project = bake_from(template, extra_context={"project_slug": "acme"})
    assert (project.path / "chart.yaml").read_text() == CHART + "slug: acme\n"


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", ">&- 2>&-"])
def test_a_closed_stderr_loses_no_project(tmp_path: Path, config_file: str, closed: str) -> None:
    command = f'exec "$0" -m cookiecutter --no-input --config-file "$1" -o "$2" "$3" {closed}'
    arguments = [sys.executable, config_file, str(tmp_path), str(TEMPLATE)]
    done = subprocess.run(["sh", "-c", command, *arguments], check=False)
    assert (tmp_path / "acme_orders" / "README.md").exists()
    assert done.returncode == 0


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
