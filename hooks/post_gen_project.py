"""Removes the files that were not chosen, then checks what this run of cookiecutter has made."""

import sys

if not sys.flags.safe_path:
    # The temporary directory, where a stray module could shadow the standard library.
    del sys.path[0]

import ast
import fnmatch
import gc
import json
import os
import re
from typing import NamedTuple

# JSON, which tojson keeps free of what would end the string: an answer may hold any character.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
SLUG = ANSWERS["project_slug"]
PACKAGE = f"src/{SLUG}"

# Every file of the template, by the answer that it belongs to. For every other answer the file is
# removed, with the directories that this leaves empty. Files, not directories: what a user has
# added to one is not ours to remove.
EVERY_PROJECT = None
FILES = {
    EVERY_PROJECT: [
        ".env.example",
        ".gitignore",
        ".pre-commit-config.yaml",
        ".squawk.toml",
        "AGENTS.md",
        "README.md",
        "alembic.ini",
        "dev/__init__.py",
        "dev/__main__.py",
        "dev/postgres.py",
        "docs/adopting-a-database.md",
        "docs/connection-pooling.md",
        "docs/jobs.md",
        "docs/migrations.md",
        "docs/queries.md",
        "docs/sessions.md",
        "docs/testing.md",
        "docs/transactions.md",
        "pyproject.toml",
        "run",
        f"{PACKAGE}/__init__.py",
        f"{PACKAGE}/__main__.py",
        f"{PACKAGE}/application_settings.py",
        f"{PACKAGE}/database/__init__.py",
        f"{PACKAGE}/database/base.py",
        f"{PACKAGE}/database/database.py",
        f"{PACKAGE}/database/engine.py",
        f"{PACKAGE}/database/faults.py",
        f"{PACKAGE}/database/route.py",
        f"{PACKAGE}/database/statements.py",
        f"{PACKAGE}/logs.py",
        f"{PACKAGE}/migrations/__init__.py",
        f"{PACKAGE}/migrations/__main__.py",
        f"{PACKAGE}/migrations/advice.py",
        f"{PACKAGE}/migrations/autogenerate/__init__.py",
        f"{PACKAGE}/migrations/autogenerate/comparison.py",
        f"{PACKAGE}/migrations/autogenerate/named.py",
        f"{PACKAGE}/migrations/autogenerate/tables.py",
        f"{PACKAGE}/migrations/autogenerate/writing.py",
        f"{PACKAGE}/migrations/backfill.py",
        f"{PACKAGE}/migrations/catalogue.py",
        f"{PACKAGE}/migrations/env.py",
        f"{PACKAGE}/migrations/include.py",
        f"{PACKAGE}/migrations/locking.py",
        f"{PACKAGE}/migrations/online.py",
        f"{PACKAGE}/migrations/script.py.mako",
        f"{PACKAGE}/migrations/versions/__init__.py",
        f"{PACKAGE}/models/__init__.py",
        f"{PACKAGE}/py.typed",
        f"{PACKAGE}/queries/__init__.py",
        f"{PACKAGE}/queries/pages.py",
        f"{PACKAGE}/settings.py",
        "tests/__init__.py",
        "tests/conftest.py",
        "tests/databases.py",
        "tests/snapshot.py",
        "tests/test_contract.py",
        "tests/test_migrations.py",
        "tests/test_status.py",
    ],
    ("fastapi", True): [
        "docs/service.md",
        f"{PACKAGE}/api/__init__.py",
        f"{PACKAGE}/api/app.py",
        f"{PACKAGE}/api/dependencies.py",
        f"{PACKAGE}/api/errors.py",
        f"{PACKAGE}/api/health.py",
        f"{PACKAGE}/api/posts.py",
        f"{PACKAGE}/api/request_ids.py",
        f"{PACKAGE}/api/schemas.py",
        f"{PACKAGE}/api/users.py",
        "tests/api/__init__.py",
        "tests/api/clients.py",
        "tests/api/test_errors.py",
        "tests/api/test_posts.py",
        "tests/api/test_users.py",
    ],
    ("example_models", True): [
        f"{PACKAGE}/models/job.py",
        f"{PACKAGE}/models/user.py",
        f"{PACKAGE}/models/post.py",
        f"{PACKAGE}/queries/jobs.py",
        f"{PACKAGE}/queries/users.py",
        f"{PACKAGE}/queries/posts.py",
        f"{PACKAGE}/api/schemas.py",
        f"{PACKAGE}/api/users.py",
        f"{PACKAGE}/api/posts.py",
        f"{PACKAGE}/migrations/versions/2026-11-22_120000_create_users_and_posts.py",
        f"{PACKAGE}/migrations/versions/2026-11-25_120000_create_jobs.py",
        f"{PACKAGE}/tasks.py",
        f"{PACKAGE}/worker.py",
        "dev/seed.py",
        "tests/factories.py",
        "tests/test_models.py",
        "tests/test_queries.py",
        "tests/test_worker.py",
        "tests/api/test_posts.py",
        "tests/api/test_users.py",
    ],
    ("engine", "async"): [f"{PACKAGE}/database/asyncpg_driver.py"],
    ("engine", "sync"): [f"{PACKAGE}/database/psycopg_driver.py"],
    ("docker", True): ["Dockerfile", "compose.yaml", ".dockerignore"],
    ("ci", "github"): [".github/dependabot.yml", ".github/workflows/ci.yml"],
    ("ci", "gitlab"): [".gitlab-ci.yml"],
}
OWNED = {path for paths in FILES.values() for path in paths}

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
    ("example_models", True): ["queries/users.py", "queries/posts.py", "dev/seed.py"],
    ("docker", True): ["docker compose", "Dockerfile", "compose.yaml"],
    ("ci", "github"): [".github/"],
    ("ci", "gitlab"): [".gitlab-ci"],
}
# Asynchronous code in a sync project: the framework's own handlers, what asyncio gives them, and
# middleware stay asynchronous in both.
ASYNC_CODE = (
    r"\bawait (?!(?:asyncio|socket)\.|(?:self\.app|send)\()\(?\w+[.(\[)\n]|\basync (?:with|for)\b"
)
ASYNC_FUNCTION = r"\basync def\b"
ASYNC_IN_BOTH = {
    f"{PACKAGE}/api/app.py",
    f"{PACKAGE}/api/dependencies.py",
    f"{PACKAGE}/api/errors.py",
    f"{PACKAGE}/api/health.py",
    f"{PACKAGE}/api/request_ids.py",
    "docs/service.md",
}
SYNC_CODE = r"(?<!async )\bwith (?:self\.)?database\.\w"

# What a template leaves behind when it is not rendered.
# {% raw %}
OPENING = "{{"
TAGS = ("{{", "{%")
TRACES = [OPENING, "{%", "{#", " %}", "-%}", " #}"]
# {% endraw %}

QUESTIONS = [key for key in ANSWERS if not key.startswith("_")]
QUESTION = rf"\bcookiecutter(?:\.(?:{'|'.join(QUESTIONS)})\b|\[)"

NOT_RENDERED = "holds 'cookiecutter', which is the template's own: {}"

# What these answers hold themselves proves nothing wrong.
FREE_TEXT = " ".join(str(ANSWERS[key]) for key in QUESTIONS)

# Where an answer must be found as it was given.
CARRIED = {
    "README.md": [f"# {ANSWERS['project_name']}\n", ANSWERS["description"]],
    ".env.example": [
        f"DATABASE_POOL_SIZE={ANSWERS['pool_size']}\n",
        f"DATABASE_MAX_OVERFLOW={ANSWERS['max_overflow']}\n",
    ],
    "compose.yaml": [f"max_connections={ANSWERS['max_connections']}"],
    "dev/postgres.py": [f"max_connections={ANSWERS['max_connections']}"],
    "Dockerfile": [f"FROM python:{ANSWERS['python_version']}-slim\n"],
    ".gitlab-ci.yml": [f"python:{ANSWERS['python_version']}\n"],
    ".github/workflows/ci.yml": [f'python-version: "{ANSWERS["python_version"]}"\n'],
}
# The distributions of what the project imports, where the names differ.
DISTRIBUTIONS = {
    "alembic": "alembic",
    "alembic_postgresql_enum": "alembic-postgresql-enum",
    "asyncpg": "asyncpg",
    "fastapi": "fastapi",
    "httpx2": "httpx2",
    "psycopg": "psycopg",
    "pydantic": "pydantic-settings",
    "pydantic_settings": "pydantic-settings",
    "pytest": "pytest",
    "pytest_asyncio": "pytest-asyncio",
    "pythonjsonlogger": "python-json-logger",
    "sqlalchemy": "sqlalchemy",
    "starlette": "fastapi",
    "uvicorn": "uvicorn",
}

TEXT_FILES = {".py", ".md", ".toml", ".ini", ".yaml", ".yml", ".json", ".txt"}
MAY_BE_EMPTY = {"__init__.py", "py.typed", ".gitkeep", ".keep", ".nojekyll"}
# What the pre hook has found here, where cookiecutter writes over an existing project.
EXISTING = ".cookiecutter-existing.json"

failures = []


class Module(NamedTuple):
    path: str
    tree: ast.Module | None  # None: not made by this run, and not ours to judge


def fail(path, line, message):
    failures.append(f"ERROR: {path}:{line}: {message}")


def fail_at(path, text, start, message):
    fail(path, text.count("\n", 0, start) + 1, message)


def unchosen(table):
    """What a table lists for the answers that were not given."""
    return [
        entry
        for key, entries in table.items()
        if key is not EVERY_PROJECT and ANSWERS[key[0]] != key[1]
        for entry in entries
    ]


def find_files():
    """The paths of the project; what is hidden (.git, .venv) is not the template's."""
    for directory, directories, names in os.walk("."):
        directories[:] = [
            name
            for name in directories
            if name == ".github" or not name.startswith((".", "__pycache__"))
        ]
        for name in names:
            yield os.path.join(directory, name)[2:].replace(os.sep, "/")


def find_made(files):
    """Those that this run has written; with -f and -s others may have been here before."""
    try:
        with open(EXISTING, encoding="utf-8") as file:
            before = json.load(file)
        os.remove(EXISTING)
    except FileNotFoundError:
        before = {}
    return {
        path
        for path in files
        if path != EXISTING and before.get(path) != os.lstat(path).st_mtime_ns
    }


def prune(made):
    for path in sorted(OWNED):
        if not os.path.exists(path):
            fail("hooks/post_gen_project.py", 1, f"FILES names {path}, which the template lacks")
    for path in unchosen(FILES):
        if path in made:
            made.remove(path)
            remove(path)


def remove(path):
    """Remove a file, and the directories left empty by that."""
    os.remove(path)
    directory = os.path.dirname(path)
    while directory and not os.listdir(directory):
        os.rmdir(directory)
        directory = os.path.dirname(directory)


def read_texts(made):
    """The text of every file to judge: not of images, nor of what is copied as it is."""
    copied = [
        re.sub(r"\{\{ *cookiecutter\.project_slug *}}", SLUG, pattern)
        for pattern in ANSWERS.get("_copy_without_render", ())
    ]
    texts = {}
    for path in sorted(made):
        if any(fnmatch.fnmatch(path, pattern) for pattern in copied):
            continue
        with open(path, "rb") as file:
            data = file.read()
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            if path in OWNED or os.path.splitext(path)[1] in TEXT_FILES:
                fail(path, data.count(b"\n", 0, error.start) + 1, "is not UTF-8")
            continue
        # A file of a fork's own that holds tags is a template of another tool, such as Helm.
        if path in OWNED or not any(tag in text for tag in TAGS):
            texts[path] = text
        elif match := re.search(QUESTION, text):
            fail_at(path, text, match.start(), NOT_RENDERED.format(match[0]))
    return texts


def check_texts(texts):
    words = [word for word in TRACES + unchosen(WORDS) if word not in FREE_TEXT]
    for path, text in texts.items():
        if not text.strip() and os.path.basename(path) not in MAY_BE_EMPTY:
            fail(path, 1, "is empty")
        match = "cookiecutter" in text and re.search(QUESTION, text)
        if match and match[0] not in FREE_TEXT:
            fail_at(path, text, match.start(), NOT_RENDERED.format(match[0]))
        if path not in OWNED:
            continue
        for word in words:
            start = find(text, word)
            if start >= 0:
                fail_at(path, text, start, f"holds {word!r}, which these answers exclude")
        match = find_other_engine(path, text)
        if match and match[0].strip() not in FREE_TEXT:
            fail_at(path, text, match.start(), f"holds {match[0]!r}, which these answers exclude")


def find_other_engine(path, text):
    """Where code for the engine that was not chosen stands, or None."""
    if ANSWERS["engine"] == "async":
        return re.search(SYNC_CODE, text) if "database." in text else None
    match = re.search(ASYNC_CODE, text) if "await " in text or "async " in text else None
    if match or path in ASYNC_IN_BOTH or "async def" not in text:
        return match
    return re.search(ASYNC_FUNCTION, text)


def find(text, word):
    """Where a word stands, or -1; a workflow's own braces and psycopg2 are other words."""
    start = text.find(word)
    while start >= 0 and (
        (word == OPENING and text[start - 1 : start] == "$")
        or text[start + len(word) : start + len(word) + 1].isdigit()
    ):
        start = text.find(word, start + 1)
    return start


def check_carried(texts):
    for path, values in CARRIED.items():
        for value in values if path in texts else ():
            if value not in texts[path]:
                fail(path, 1, f"lacks {value.strip()!r}, which the answers ask for")


def check_documents(texts):
    """Every relative link of a document leads to a file, and to a heading; every fence ends."""
    for path, text in texts.items():
        if not path.endswith(".md"):
            continue
        if text.count("\n```") % 2:
            fail(path, text.count("\n"), "has a code block that does not end")
        if "](" in FREE_TEXT:
            continue
        for match in re.finditer(r"\]\(([^)\s]*)\)", text):
            target, _, anchor = match[1].partition("#")
            if ":" in target:
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(path), target or "."))
            document = target if match[1][:1] != "#" else path
            if not os.path.exists(document):
                fail_at(path, text, match.start(), f"links to {target}, which does not exist")
            elif anchor and document in texts and anchor not in anchors(texts[document]):
                fail_at(path, text, match.start(), f"links to #{anchor}, which {document} lacks")


def anchors(text):
    """The names that GitHub and GitLab give to the headings, and those given by hand."""
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()).replace(
            " ", "-"
        )
        for heading in headings
    } | set(re.findall(r'\b(?:id|name)="([^"]+)"', text))


def parse_toml(text):
    import tomllib

    return tomllib.loads(text)


def parse_ini(text):
    import configparser

    parser = configparser.ConfigParser({"here": "."})
    parser.read_string(text)
    for section in parser:
        dict(parser[section])  # interpolates


def parse_yaml(text):
    import yaml

    # Composed, not constructed: tags such as GitLab's !reference are not ours to know.
    for document in yaml.compose_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        refuse_twice(document)


def refuse_twice(node):
    """Raise ValueError where a YAML mapping has a key twice, of which PyYAML takes the last."""
    if not isinstance(node.value, list):
        return
    seen = set()
    for item in node.value:
        key, value = item if isinstance(item, tuple) else (None, item)
        if key and key.value in seen and key.value != "<<":
            raise ValueError(f"has {key.value} twice (at line {key.start_mark.line + 1},)")
        if key and not isinstance(key.value, list):
            seen.add(key.value)
        refuse_twice(value)


PARSERS = {
    ".toml": parse_toml,
    ".ini": parse_ini,
    ".yaml": parse_yaml,
    ".yml": parse_yaml,
    ".json": json.loads,
}


def check_syntax(texts):
    """The parsed files, by path."""
    parsed = {}
    for path, text in texts.items():
        parse = PARSERS.get(os.path.splitext(path)[1])
        if parse:
            try:
                parsed[path] = parse(text)
            except Exception as error:
                fail(path, line_of(error), " ".join(str(error).split()))
    return parsed


def line_of(error):
    if hasattr(error, "problem_mark"):  # YAML
        return error.problem_mark.line + 1
    if hasattr(error, "errors"):  # configparser.ParsingError
        return error.errors[0][0]
    if hasattr(error, "lineno"):
        return error.lineno
    line = str(error).partition("(at line ")[2].partition(",")[0]  # TOML, before Python 3.14
    return int(line) if line else 1


def parse_modules(files, texts):
    """Every module of the project, by its dotted name."""
    modules = {}
    for path in files:
        if not path.endswith(".py") or not os.path.exists(path):  # it is pruned
            continue
        tree = None
        if path in texts:
            try:
                tree = ast.parse(texts[path], path)
                compile(tree, path, "exec", 0, True)
            except (SyntaxError, ValueError) as error:
                fail(path, getattr(error, "lineno", None) or 1, getattr(error, "msg", str(error)))
                continue
        name = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
        modules[name.removesuffix(".__init__")] = Module(path, tree)
    return modules


def blocks(statement):
    """The bodies inside a statement."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        yield getattr(statement, field, ())


def statements(body):
    """Every statement of a body, also in the blocks, functions and classes in it."""
    for statement in body:
        yield statement
        for block in blocks(statement):
            yield from statements(block)


def names_bound(body):
    """The names that a module's body binds."""
    names = set()
    for statement in body:
        match statement:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                names.add(name)
                continue
            case ast.Import(aliases) | ast.ImportFrom(names=aliases):
                names.update(alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.AnnAssign(target, value=value):
                names.update(targets(target) if value else ())
            case ast.Assign(assigned):
                names.update(name for target in assigned for name in targets(target))
            case ast.For(target) | ast.AsyncFor(target):
                names.update(targets(target))
            case ast.With(items) | ast.AsyncWith(items):
                names.update(name for item in items for name in targets(item.optional_vars))
            case object(name=ast.Name(name)):  # a type alias, which Python 3.11 does not have
                names.add(name)
        for block in blocks(statement):
            names |= names_bound(block)
    return names


def targets(target):
    match target:
        case ast.Name(name):
            return [name]
        case ast.Tuple(elements) | ast.List(elements):
            return [name for element in elements for name in targets(element)]
        case ast.Starred(element):
            return targets(element)
    return []


def constants(body):
    """The literals that a body assigns to names, by name."""
    values = {}
    for statement in body:
        match statement:
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), value=value):
                try:
                    values[name] = ast.literal_eval(value)
                except (TypeError, ValueError):
                    continue
    return values


def check_modules(modules, declared):
    """What is imported exists, and nothing is defined twice."""
    packages = {name.partition(".")[0] for name in modules}
    bound = {}
    for module, (path, tree) in modules.items():
        if not tree:
            continue
        check_definitions(path, tree.body)
        check_exports(path, tree.body)
        for statement in statements(tree.body):
            match statement:
                case ast.Import(aliases):
                    for alias in aliases:
                        root = alias.name.partition(".")[0]
                        check_declared(path, statement, root, declared)
                        if root in packages and alias.name not in modules:
                            fail(
                                path,
                                statement.lineno,
                                f"imports {alias.name}, which does not exist",
                            )
                case ast.ImportFrom(source, _, level):
                    root = (source or "").partition(".")[0]
                    if level or root in packages:
                        check_import(module, statement, modules, bound)
                    else:
                        check_declared(path, statement, root, declared)


def check_declared(path, statement, root, declared):
    """A dependency that is imported is one that pyproject.toml requires."""
    if DISTRIBUTIONS.get(root, root) not in declared and root in DISTRIBUTIONS:
        fail(path, statement.lineno, f"imports {root}, which pyproject.toml does not require")


def check_exports(path, body):
    exported = constants(body).get("__all__", ())
    for name in sorted(set(exported) - names_bound(body)) if exported else ():
        fail(path, 1, f"exports {name}, which it lacks")


def check_definitions(path, body):
    """A body that defines a function or a class twice holds what two answers exclude."""
    seen = set()
    for statement in body:
        match statement:
            case (
                ast.FunctionDef(name, decorator_list=[])
                | ast.AsyncFunctionDef(name, decorator_list=[])
                | ast.ClassDef(name)
            ):
                if name in seen:
                    fail(path, statement.lineno, f"defines {name} twice")
                seen.add(name)
        if isinstance(statement, ast.ClassDef):
            check_definitions(path, statement.body)


def check_import(module, statement, modules, bound):
    """A `from … import …` leads to a module of the project, and to names in it."""
    path = modules[module].path
    package = module.split(".")
    if not path.endswith("/__init__.py"):
        package.pop()
    level = statement.level
    base = package[: len(package) - level + 1] if level else []
    source = ".".join([*base, *filter(None, [statement.module])])
    if level > len(package) or not is_module(source, modules):
        written = "." * level + (statement.module or "")
        fail(path, statement.lineno, f"imports from {written}, which does not exist")
        return
    if source in modules and not modules[source].tree:
        return
    if source in modules and source not in bound:
        bound[source] = names_bound(modules[source].tree.body)
    names = bound.get(source, set()) if source != module else set()  # no import binds itself
    for alias in statement.names:
        if alias.name not in names and not is_module(f"{source}.{alias.name}", modules):
            fail(path, statement.lineno, f"imports {alias.name}, which {source} lacks")


def is_module(name, modules):
    """Whether a dotted name is a module, or a directory of modules without an __init__.py."""
    return name in modules or any(module.startswith(f"{name}.") for module in modules)


def check_entry_points(texts, modules):
    """What servers are told to load exists: package.module:name."""
    for path, text in texts.items():
        for match in re.finditer(rf"({SLUG}(?:\.\w+)+):(\w+)", text):
            if re.match(r"[\w./-]", text[match.start() - 1 : match.start()]):
                continue  # the end of another name
            module = modules.get(match[1])
            if not module or (module.tree and match[2] not in names_bound(module.tree.body)):
                fail_at(path, text, match.start(), f"names {match[0]}, which does not exist")


def check_pyproject(project):
    """The project's table says what was answered."""
    expected = {
        "name": SLUG.replace("_", "-"),
        "description": ANSWERS["description"],
        "requires-python": f">={ANSWERS['python_version']}",
    }
    for key, answer in expected.items():
        if project.get(key) != answer:
            fail("pyproject.toml", 1, f"{key} is {project.get(key)!r}, not {answer!r}")
    author = {"name": ANSWERS["author_name"], "email": ANSWERS["author_email"]}
    if author not in project.get("authors", []):
        fail("pyproject.toml", 1, f"authors lack {author}")


def declared_distributions(pyproject):
    requirements = list(pyproject.get("project", {}).get("dependencies", []))
    for group in pyproject.get("dependency-groups", {}).values():
        requirements += [line for line in group if isinstance(line, str)]
    return {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in requirements}


def check_alembic(texts, modules):
    location = None
    for number, line in enumerate(texts["alembic.ini"].splitlines(), 1):
        if line.startswith(("#", ";")):
            continue
        key, _, value = (part.strip() for part in line.partition("="))
        if "://" in line or key == "sqlalchemy.url":
            fail("alembic.ini", number, "holds a URL: it belongs to the environment")
        if key == "script_location":
            package, colon, directory = value.partition(":")
            location = f"src/{package}/{directory}" if colon else value.removeprefix("%(here)s/")
            for name in ("env.py", "script.py.mako"):
                if not os.path.exists(f"{location}/{name}"):
                    fail("alembic.ini", number, f"needs {location}/{name}, which does not exist")
    if location:
        check_revisions(location, modules)
    else:
        fail("alembic.ini", 1, "does not say where the migrations are (script_location)")


def check_revisions(location, modules):
    """The revisions are one chain: at most one base, and at most one head."""
    down_revisions, paths = {}, {}
    for path, tree in modules.values():
        if not tree or os.path.dirname(path) != f"{location}/versions":
            continue
        values = constants(tree.body)
        if "revision" not in values:
            if not path.endswith("/__init__.py"):
                fail(path, 1, "names no revision")
            continue
        revision, down = values["revision"], values.get("down_revision")
        if revision in paths:
            fail(path, 1, f"has the revision {revision} of {paths[revision]}")
        for name in {"upgrade", "downgrade"} - names_bound(tree.body):
            fail(path, 1, f"lacks {name}()")
        down_revisions[revision] = set(down if isinstance(down, tuple) else [down])
        paths[revision] = path
    check_chain(down_revisions, paths)


def check_chain(down_revisions, paths):
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
        if down_revisions and not revisions:
            fail(min(paths.values()), 1, f"has revisions that follow each other: no {kind}")


def check_settings(modules):
    path, tree = modules[f"{SLUG}.settings"]
    defaults = {}
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            defaults |= constants(statement.body)
    for key in ("pool_size", "max_overflow"):
        if defaults.get(f"database_{key}") != int(ANSWERS[key]):
            fail(path, 1, f"database_{key} is not {ANSWERS[key]} by default")


def check(files, made):
    texts = read_texts(made)
    unreadable = len(failures)
    parsed = check_syntax(texts)
    modules = parse_modules(files, texts)
    unreadable -= len(failures)
    check_texts(texts)
    check_carried(texts)
    check_documents(texts)
    if unreadable:  # the rest would blame what is right for what could not be read
        return
    declared = set(DISTRIBUTIONS.values())
    if "pyproject.toml" in parsed:
        check_pyproject(parsed["pyproject.toml"].get("project", {}))
        declared = declared_distributions(parsed["pyproject.toml"])
    check_modules(modules, declared)
    check_entry_points(texts, modules)
    if "alembic.ini" in texts:
        check_alembic(texts, modules)
    if f"{PACKAGE}/settings.py" in texts:
        check_settings(modules)


def is_kept():
    """Whether the project stays: cruft renders updates in temporary directories."""
    if "_output_dir" in ANSWERS:
        return True
    import tempfile

    parent = os.path.dirname(os.getcwd())
    return os.path.dirname(parent) != os.path.realpath(tempfile.gettempdir()) or not (
        os.path.basename(parent).startswith(tempfile.gettempprefix())
    )


def say(message):
    """On stderr, since cruft takes what is on stdout for a part of its diff."""
    if sys.stderr:
        try:
            print(message, file=sys.stderr, flush=True)
        except OSError:  # nobody listens, and the project is good all the same
            sys.stderr = None


gc.disable()  # it would take a third of the time, for trees that live to the end
files = list(find_files())
made = find_made(files)
prune(made)
if "run" in made:
    os.chmod("run", 0o755)  # a template that comes as a zip file has lost the mode
check(files, made)
if failures:
    sys.exit("\n".join([*failures, "The template has these faults. Your answers are fine."]))

if is_kept():
    here = os.getcwd()
    directory = SLUG if os.environ.get("PWD") == os.path.dirname(here) else here
    say(
        f"{SLUG} is ready: SQLAlchemy on PostgreSQL, {ANSWERS['engine']}"
        f"{' with FastAPI' if ANSWERS['fastapi'] else ''}. "
        "Its tests need no server. Next:\n"
        f'    cd "{directory}"\n'
        "    uv sync && uv run pytest\n"
        "    git init -b main && git add . && git commit -m 'Start from the template'\n"
        "uv sync writes uv.lock. Commit it: CI and the container image install from it."
    )
