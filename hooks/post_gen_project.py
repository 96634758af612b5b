"""Removes the files that were not chosen, then checks the project that is left."""

import sys

if not sys.flags.safe_path:
    # The temporary directory, where a stray module could shadow the standard library.
    del sys.path[0]

import gc
import json
import os

# JSON, which tojson keeps free of what would end the string: an answer may hold any character.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
SLUG = ANSWERS["project_slug"]
PACKAGE = f"src/{SLUG}"

# The files that belong to one answer, and are removed for every other, with the directories that
# this leaves empty. Files, not directories: what a user has added to one is not ours to remove.
FILES = {
    ("engine", "async"): ["tests/test_cancellation.py"],
    ("fastapi", True): [
        f"{PACKAGE}/api/__init__.py",
        f"{PACKAGE}/api/app.py",
        f"{PACKAGE}/api/dependencies.py",
        f"{PACKAGE}/api/errors.py",
        f"{PACKAGE}/api/health.py",
        f"{PACKAGE}/api/posts.py",
        f"{PACKAGE}/api/schemas.py",
        f"{PACKAGE}/api/users.py",
        "tests/api/__init__.py",
        "tests/api/clients.py",
        "tests/api/test_errors.py",
        "tests/api/test_health.py",
        "tests/api/test_posts.py",
        "tests/api/test_users.py",
    ],
    ("example_models", True): [
        f"{PACKAGE}/models/user.py",
        f"{PACKAGE}/models/post.py",
        f"{PACKAGE}/queries/users.py",
        f"{PACKAGE}/queries/posts.py",
        f"{PACKAGE}/api/schemas.py",
        f"{PACKAGE}/api/users.py",
        f"{PACKAGE}/api/posts.py",
        f"{PACKAGE}/migrations/versions/2026-11-22_120000_create_users_and_posts.py",
        "dev/seed.py",
        "tests/factories.py",
        "tests/test_models.py",
        "tests/test_queries.py",
        "tests/api/test_posts.py",
        "tests/api/test_users.py",
    ],
    ("engine", "async"): [f"{PACKAGE}/database/asyncpg_driver.py"],
    ("engine", "sync"): [f"{PACKAGE}/database/psycopg_driver.py"],
    ("docker", True): ["Dockerfile", "compose.yaml", ".dockerignore"],
    ("ci", "github"): [".github/dependabot.yml", ".github/workflows/ci.yml"],
    ("ci", "gitlab"): [".gitlab-ci.yml"],
}
# The words that only the projects with that answer may hold.
WORDS = {
    ("engine", "async"): [
        "asyncpg",
        "sqlalchemy.ext.asyncio",
        "create_async_engine",
        "async_sessionmaker",
        "AsyncConnection",
        "AsyncEngine",
        "AsyncSession",
    ],
    ("engine", "sync"): ["psycopg"],
    ("fastapi", True): ["fastapi", "FastAPI", "starlette", "uvicorn"],
}
# What a template leaves behind when it is not rendered.
# {% raw %}
OPENING = "{{"
TRACES = [OPENING, "{%", "{#", " %}", " #}", "cookiecutter"]
# {% endraw %}

MAY_BE_EMPTY = {"__init__.py", "py.typed"}
ONLY_AST = 0x400  # ast.PyCF_ONLY_AST, without the import of ast

# What these answers hold themselves proves nothing wrong.
FREE_TEXT = " ".join(
    value for key, value in ANSWERS.items() if isinstance(value, str) and not key.startswith("_")
)

failures = []


def fail(path, line, message):
    failures.append(f"ERROR: {path}:{line}: {message}")


def unchosen(table):
    """What a table lists for the answers that were not given."""
    return [
        entry
        for (question, answer), entries in table.items()
        if ANSWERS[question] != answer
        for entry in entries
    ]


def prune():
    for path in (path for paths in FILES.values() for path in paths):
        if not os.path.exists(path):
            fail("hooks/post_gen_project.py", 1, f"FILES names {path}, which the template lacks")
    for path in unchosen(FILES):
        remove(path)


def remove(path):
    """Remove a file, and the directories left empty by that."""
    if os.path.exists(path):
        os.remove(path)
        directory = os.path.dirname(path)
        while directory and not os.listdir(directory):
            os.rmdir(directory)
            directory = os.path.dirname(directory)


def read_project():
    """The text of every file, by its path; what is hidden (.git, .venv) is not the template's."""
    texts = {}
    for directory, directories, names in os.walk("."):
        directories[:] = [
            name
            for name in directories
            if name == ".github" or not name.startswith((".", "__pycache__"))
        ]
        for name in names:
            path = os.path.join(directory, name)[2:].replace(os.sep, "/")
            with open(path, "rb") as file:
                data = file.read()
            try:
                texts[path] = data.decode()
            except UnicodeDecodeError as error:
                fail(path, data.count(b"\n", 0, error.start) + 1, "is not UTF-8")
    return texts


def check_texts(texts):
    words = [word for word in TRACES + unchosen(WORDS) if word not in FREE_TEXT]
    for path, text in texts.items():
        if not text.strip() and os.path.basename(path) not in MAY_BE_EMPTY:
            fail(path, 1, "is empty")
        for word in words:
            start = find(text, word)
            if start >= 0:
                line = text.count("\n", 0, start) + 1
                fail(path, line, f"holds {word!r}, which these answers exclude")


def find(text, word):
    """Where a word stands, or -1; a workflow's own braces and psycopg2 are other words."""
    start = text.find(word)
    while start >= 0 and (
        (word == OPENING and text[start - 1 : start] == "$")
        or text[start + len(word) : start + len(word) + 1].isdigit()
    ):
        start = text.find(word, start + 1)
    return start


def check_links(texts):
    """Every relative link of a document leads to a file."""
    for path, text in texts.items():
        if not path.endswith(".md") or "](" in FREE_TEXT:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for link in line.split("](")[1:]:
                target = link.partition(")")[0].partition("#")[0]
                if target and "://" not in target and not target.startswith("mailto:"):
                    target = os.path.normpath(os.path.join(os.path.dirname(path), target))
                    if not os.path.exists(target):
                        fail(path, number, f"links to {target}, which does not exist")


def parse_toml(text):
    import tomllib

    tomllib.loads(text)


def parse_ini(text):
    import configparser

    parser = configparser.ConfigParser({"here": "."})
    parser.read_string(text)
    for section in parser:
        dict(parser[section])  # interpolates


def parse_yaml(text):
    import yaml

    # Composed, not constructed: tags such as GitLab's !reference are not ours to know.
    list(yaml.compose_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


PARSERS = {
    ".toml": parse_toml,
    ".ini": parse_ini,
    ".yaml": parse_yaml,
    ".yml": parse_yaml,
    ".json": json.loads,
}


def check_syntax(texts):
    for path, text in texts.items():
        parse = PARSERS.get(os.path.splitext(path)[1])
        if parse:
            try:
                parse(text)
            except Exception as error:
                fail(path, line_of(error), " ".join(str(error).split()))


def line_of(error):
    if hasattr(error, "problem_mark"):  # YAML
        return error.problem_mark.line + 1
    if hasattr(error, "errors"):  # configparser.ParsingError
        return error.errors[0][0]
    if hasattr(error, "lineno"):
        return error.lineno
    line = str(error).partition("(at line ")[2].partition(",")[0]  # TOML, before Python 3.14
    return int(line) if line else 1


def parse_modules(texts):
    """The syntax tree of every module, by its dotted name."""
    modules = {}
    for path, text in texts.items():
        if not path.endswith(".py"):
            continue
        try:
            tree = compile(text, path, "exec", ONLY_AST, True)
            compile(tree, path, "exec", 0, True)
        except (SyntaxError, ValueError) as error:
            fail(path, getattr(error, "lineno", None) or 1, getattr(error, "msg", str(error)))
        else:
            name = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
            modules[name.removesuffix(".__init__")] = (path, tree)
    return modules


def statements(body):
    """Every statement of a body, also in the blocks, functions and classes in it."""
    for statement in body:
        yield statement
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from statements(getattr(statement, field, ()))


def names_bound(body):
    """The names that a module's body binds."""
    names = set()
    for statement in body:
        kind = type(statement).__name__
        if kind in {"FunctionDef", "AsyncFunctionDef", "ClassDef"}:
            names.add(statement.name)
            continue
        if kind in {"Import", "ImportFrom"}:
            names.update(alias.asname or alias.name.partition(".")[0] for alias in statement.names)
        elif kind == "AnnAssign":
            names.update(targets(statement.target) if statement.value else ())
        elif kind == "Assign":
            for target in statement.targets:
                names.update(targets(target))
        elif kind == "TypeAlias":
            names.add(statement.name.id)
        elif kind in {"For", "AsyncFor"}:
            names.update(targets(statement.target))
        elif kind in {"With", "AsyncWith"}:
            for item in statement.items:
                names.update(targets(item.optional_vars))
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            names |= names_bound(getattr(statement, field, ()))
    return names


def targets(target):
    if hasattr(target, "id"):
        return [target.id]
    return [name for element in getattr(target, "elts", ()) for name in targets(element)]


def check_imports(modules):
    packages = {name.partition(".")[0] for name in modules}
    bound = {}
    for module, (path, tree) in modules.items():
        parts = module.split(".")
        package = parts if path.endswith("/__init__.py") else parts[:-1]
        for statement in statements(tree.body):
            kind = type(statement).__name__
            if kind == "Import":
                for alias in statement.names:
                    if alias.name.partition(".")[0] in packages and alias.name not in modules:
                        fail(path, statement.lineno, f"imports {alias.name}, which does not exist")
            if kind != "ImportFrom":
                continue
            level = statement.level
            base = package[: len(package) - level + 1] if level else []
            source = ".".join([*base, *filter(None, [statement.module])])
            if not level and source.partition(".")[0] not in packages:
                continue
            if level > len(package) or not is_module(source, modules):
                written = "." * level + (statement.module or "")
                fail(path, statement.lineno, f"imports from {written}, which does not exist")
                continue
            if source in modules and source not in bound:
                bound[source] = names_bound(modules[source][1].body)
            names = (
                set() if source == module else bound.get(source, set())
            )  # no import binds itself
            for alias in statement.names:
                if alias.name not in names and not is_module(f"{source}.{alias.name}", modules):
                    fail(path, statement.lineno, f"imports {alias.name}, which {source} lacks")


def is_module(name, modules):
    """Whether a dotted name is a module, or a directory of modules without an __init__.py."""
    return name in modules or any(module.startswith(f"{name}.") for module in modules)


def check_alembic(texts, modules):
    location = None
    for number, line in enumerate(texts.get("alembic.ini", "").splitlines(), 1):
        if line.startswith(("#", ";")):
            continue
        key, _, value = (part.strip() for part in line.partition("="))
        if "://" in line or key == "sqlalchemy.url":
            fail("alembic.ini", number, "holds a URL: it belongs to the environment")
        if key == "script_location":
            package, colon, directory = value.partition(":")
            location = f"src/{package}/{directory}" if colon else value.removeprefix("%(here)s/")
            for name in ("env.py", "script.py.mako"):
                if f"{location}/{name}" not in texts:
                    fail("alembic.ini", number, f"needs {location}/{name}, which does not exist")
    if location:
        check_revisions(location, modules)
    else:
        fail("alembic.ini", 1, "does not say where the migrations are (script_location)")


def check_revisions(location, modules):
    """The revisions are one chain: at most one base, and at most one head."""
    down_revisions, paths = {}, {}
    for path, tree in modules.values():
        if path.startswith(f"{location}/versions/"):
            values = constants(tree.body)
            if "revision" in values:
                down = values.get("down_revision")
                down_revisions[values["revision"]] = set(
                    down if isinstance(down, tuple) else [down]
                )
                paths[values["revision"]] = path
    followed = set().union(*down_revisions.values())
    for revision, down in down_revisions.items():
        for missing in down - {None, *down_revisions}:
            fail(paths[revision], 1, f"follows {missing}, which does not exist")
    bases = [revision for revision, down in down_revisions.items() if None in down]
    heads = [revision for revision in down_revisions if revision not in followed]
    for kind, revisions in (("bases", bases), ("heads", heads)):
        if len(revisions) > 1:
            names = ", ".join(sorted(revisions))
            fail(paths[max(revisions)], 1, f"is one of several {kind}: {names}")


def constants(body):
    """The constants, and the tuples of constants, that a body assigns to names, by name."""
    values = {}
    for statement in body:
        if type(statement).__name__ not in {"Assign", "AnnAssign"}:
            continue
        for target in getattr(statement, "targets", [getattr(statement, "target", None)]):
            if hasattr(target, "id") and hasattr(statement.value, "value"):
                values[target.id] = statement.value.value
            elif hasattr(target, "id") and hasattr(statement.value, "elts"):
                values[target.id] = tuple(
                    getattr(element, "value", None) for element in statement.value.elts
                )
    return values


def check_settings(modules):
    path, tree = modules.get(f"{SLUG}.settings", (f"{PACKAGE}/settings.py", None))
    defaults = {}
    for statement in tree.body if tree else ():
        if type(statement).__name__ == "ClassDef":
            defaults |= constants(statement.body)
    for key in ("pool_size", "max_overflow"):
        if defaults.get(f"database_{key}") != int(ANSWERS[key]):
            fail(path, 1, f"database_{key} is not {ANSWERS[key]} by default")


gc.disable()  # it would take a third of the time, for trees that live to the end
prune()
texts = read_project()
check_texts(texts)
check_links(texts)
check_syntax(texts)
modules = parse_modules(texts)
if not failures:  # else they would blame what is right for what could not be read
    check_imports(modules)
    check_alembic(texts, modules)
    check_settings(modules)
if failures:
    sys.exit("\n".join(failures))

# On stderr: cruft takes what is on stdout for a part of its diff.
here = os.getcwd()
directory = SLUG if os.environ.get("PWD") == os.path.dirname(here) else here
print(
    f"{SLUG} is ready: SQLAlchemy on PostgreSQL, {ANSWERS['engine']}"
    f"{' with FastAPI' if ANSWERS['fastapi'] else ''}.\n"
    "Its tests need no server. Next:\n"
    f'    cd "{directory}" && uv sync && uv run pytest',
    file=sys.stderr,
)
