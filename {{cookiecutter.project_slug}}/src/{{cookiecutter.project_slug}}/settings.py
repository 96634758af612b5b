"""The database's settings, from environment variables or files. They are validated before use."""

import os
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

{% if cookiecutter.engine == "sync" %}
import psycopg
from psycopg.conninfo import conninfo_to_dict
{% endif %}
from pydantic import AfterValidator, Field, FilePath, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

# An @ only ends the password: so nothing behind it can be a piece of the password.
URL = re.compile(
    r"(?:[^:@/?#[\]\s]*(?::[^@/?#[\]\s]*)?@)?(?P<hosts>[^@/?#\s]*)(?:/[^@?#\s]*)?"
    r"(?:\?(?P<query>[^@?#\s]*))?",
)
HOST = re.compile(r"(?:\[[^[\]]+\]|[^:[\]]*)(?::(?P<port>.*))?")
UNREADABLE = (
    "cannot be read: write '@', ':', '/', '?', '#', '%', brackets and spaces of the password "
    "percent-encoded ('#' is %23)"
)
ALLOWED = {
    "sslmode": "allow disable prefer require verify-ca verify-full".split(),
    "sslnegotiation": "direct postgres".split(),
    "target_session_attrs": "any prefer-standby primary read-only read-write standby".split(),
}
# What providers and other libraries put into a URL, and what does its work here.
INSTEAD = {
    "connect_timeout": "set DATABASE_CONNECT_TIMEOUT",
    "connection_limit": "set DATABASE_POOL_SIZE",
    "database": "write it as the path: /NAME",
    "dbname": "write it as the path: /NAME",
    "keepalives_idle": "set DATABASE_KEEPALIVES_IDLE",
    "pgbouncer": "set DATABASE_PGBOUNCER=true",
    "pool_timeout": "set DATABASE_POOL_TIMEOUT",
    "prepared_statement_cache_size": "set DATABASE_PGBOUNCER=true",
    "schema": "write options=-csearch_path%3DNAME",
    "ssl": "write sslmode=require",
    "sslaccept": "write sslmode=verify-full or sslmode=require",
    "statement_cache_size": "set DATABASE_PGBOUNCER=true",
    "statement_timeout": "set DATABASE_STATEMENT_TIMEOUT",
    "tcp_user_timeout": "set DATABASE_TCP_USER_TIMEOUT",
{% if cookiecutter.engine == "async" %}
    "channel_binding": (
        "asyncpg cannot bind the login to the TLS connection, which protects from a man in the "
        "middle; sslmode=verify-full&sslrootcert=system does that too: it verifies the server"
    ),
    "gssencmode": "asyncpg encrypts by TLS only",
    "load_balance_hosts": "asyncpg asks the hosts in their order",
{% endif %}
}


def check_url(secret: SecretStr) -> SecretStr:
    """Return the URL as the driver reads it; raise ValueError, with no piece of the password."""
    scheme, _, rest = secret.get_secret_value().partition("://")
    if scheme.partition("+")[0] not in {"postgres", "postgresql"} or not rest:
        raise ValueError("must start with postgresql://")
    parts = URL.fullmatch(rest)
    try:
        decoded = unquote(rest, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("is percent-encoded, but not as UTF-8") from None
    if parts is None or "\0" in decoded or re.search("%(?![0-9A-Fa-f]{2})", rest):
        raise ValueError(UNREADABLE)
    given = [pair.partition("=") for pair in (parts["query"] or "").split("&") if parts["query"]]
    query = {unquote(name): unquote(value) for name, _, value in given}
    if len(query) < len(given) or not all(name and equals for name, equals, _ in given):
        raise ValueError("must have a query of the form name=value&name=value, each name once")
    for name, value in query.items():
        if name in INSTEAD:
            raise ValueError(f"cannot have the parameter {name}: {INSTEAD[name]}")
        if value not in ALLOWED.get(name, [value]):
            raise ValueError(f"must have {name} as one of {', '.join(ALLOWED[name])}")
    named = parts["hosts"]
{% if cookiecutter.engine == "async" %}
    if named.startswith(":") or (named and query.keys() & {"host", "port"}):
        raise ValueError("must name each host and port once: asyncpg reads the first place only")
{% endif %}
    hosts = (named or query.get("host", "")).split(",")
    if len(hosts) > 1 and not all(host.partition(":")[0] for host in hosts):
        raise ValueError("has an empty host among several")
    found = [HOST.fullmatch(host) for host in hosts if not host.startswith("/")]
    ports = [host["port"] for host in found if host and host["port"] is not None]
    ports += query["port"].split(",") if "port" in query else []
    is_readable = all(found) and all(re.fullmatch("[0-9]{0,5}", port) for port in ports)
    if not is_readable or "%2C" in named.upper():
        raise ValueError(f"has a host or a port that {UNREADABLE}")
    if not all(0 < int(port or 5432) < 65_536 for port in ports):
        raise ValueError("must have a port from 1 to 65535")
    place, mark, words = rest.partition("?")
    url = f"postgresql://{place}{mark}{words.replace('+', '%2B')}"  # itself, as libpq reads it
{% if cookiecutter.engine == "sync" %}
    try:
        conninfo_to_dict(url)
    except psycopg.Error:  # its text may quote a piece of the password
        raise ValueError(f"has a parameter that libpq does not know, or {UNREADABLE}") from None
{% endif %}
    return SecretStr(url)


DatabaseURL = Annotated[SecretStr, AfterValidator(check_url)]
Seconds = Annotated[float, Field(ge=0.001, le=86_400)]


class SettingsError(ValueError):
    """A setting is missing or wrong. The message is one line, and shows no value."""


class EnvironmentSettings(BaseSettings):
    """The environment's variables of the same names in upper case, or files of these names.

    The files are in /run/secrets, or in the directory that SECRETS_DIRECTORY names. Raises
    SettingsError.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True)

    def __init__(self, **values: Any) -> None:
        secrets = Path(os.environ.get("SECRETS_DIRECTORY", "/run/secrets"))
        try:
            super().__init__(_secrets_dir=secrets if secrets.is_dir() else None, **values)
        except ValidationError as error:
            wrong = [
                f"{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}"
                for each in error.errors(include_url=False, include_input=False)
            ]
            raise SettingsError("; ".join(wrong).replace(": Value error,", "")) from None


class Settings(EnvironmentSettings):
    """The settings of the database, which are all that migrations, development and tests need.

    Durations are in seconds.
    """

    database_url: DatabaseURL
    """The database of the service, as the driver reads it."""
    database_migration_url: DatabaseURL | None = None
    """For migrations, if not database_url: it bypasses PgBouncer, as the owner of the schema."""
    database_replica_url: DatabaseURL | None = None
    """A streaming replica, for read_only(stale_ok=True) and fetch(…, stale_ok=True)."""
    database_password_file: FilePath | None = None
    """Holds the password for each URL that has none. It is read for every new connection."""
    database_pgbouncer: bool = False
    """Whether database_url names a PgBouncer in transaction mode."""
    database_pool_size: Annotated[int, Field(ge=1)] = {{ cookiecutter.pool_size }}
    """Connections kept open, per pool; a process has a write pool and a read pool."""
    database_max_overflow: Annotated[int, Field(ge=0)] = {{ cookiecutter.max_overflow }}
    """Connections above the pool's size, opened under load and closed after each use."""
    database_pool_timeout: Seconds = 5.0
    """How long to wait for a free connection of the pool."""
    database_pool_recycle: Seconds = 1800.0
    """The age at which a connection is closed when it is returned."""
    database_connect_timeout: Seconds = 5.0
    """How long connecting may take, for all hosts together."""
    database_tcp_user_timeout: Seconds = 10.0
    """How long the other host may leave sent data unacknowledged before it counts as lost."""
    database_keepalives_idle: Annotated[int, Field(ge=1, le=32_767)] = 30
    """How long a connection may be silent before TCP asks the other host, as firewalls expect."""
    database_statement_timeout: Seconds = 30.0
    """How long a statement may run; PostgreSQL then cancels it (57014)."""
    database_lock_timeout: Seconds = 5.0
    """How long a statement may wait for a lock (55P03)."""
    database_idle_in_transaction_timeout: Seconds = 60.0
    """How long a transaction may do nothing; PostgreSQL then ends its connection (25P03)."""
    database_slow_query: Seconds = 0.5
    """Statements that take longer are logged, without their parameters."""
    database_show_values: bool = False
    """Whether errors show parameters and rows, which are people's data: for development."""

    def __init__(self, **values: Any) -> None:
        # For type checkers: a setting may come from the environment, and a URL may be a string.
        super().__init__(**values)
