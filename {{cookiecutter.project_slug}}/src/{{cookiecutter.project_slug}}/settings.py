"""The database's settings, from environment variables or files. They are validated before use."""

import re
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import Field, FilePath, PlainValidator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy import URL

{% if cookiecutter.engine == "async" %}
DRIVER = "postgresql+asyncpg"
{% else %}
DRIVER = "postgresql+psycopg"
{% endif %}
# What libpq's parameters may be, if they are not free text. The engine translates them.
URL_PARAMETERS: dict[str, set[str]] = {
    "application_name": set(),
    "channel_binding": {"disable", "prefer", "require"},
    "load_balance_hosts": {"disable", "random"},
    "options": set(),
    "sslcert": set(),
    "sslcrl": set(),
    "sslkey": set(),
    "sslmode": {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
    "sslnegotiation": {"direct", "postgres"},
    "sslrootcert": set(),
    "target_session_attrs": {
        "any",
        "prefer-standby",
        "primary",
        "read-only",
        "read-write",
        "standby",
    },
}
# Parameters of libpq and of other libraries, and what does their work here.
HINTS = {
    "connect_timeout": "set DATABASE_CONNECT_TIMEOUT",
    "connection_limit": "set DATABASE_POOL_SIZE",
    "currentSchema": "write options=-csearch_path%3DNAME",
    "idle_in_transaction_session_timeout": "set DATABASE_IDLE_IN_TRANSACTION_TIMEOUT",
    "jit": "the service turns it off",
    "keepalives_idle": "set DATABASE_KEEPALIVES_IDLE",
    "lock_timeout": "set DATABASE_LOCK_TIMEOUT",
    "max_overflow": "set DATABASE_MAX_OVERFLOW",
    "pgbouncer": "set DATABASE_PGBOUNCER=true",
    "pool_size": "set DATABASE_POOL_SIZE",
    "pool_timeout": "set DATABASE_POOL_TIMEOUT",
    "prepare_threshold": "set DATABASE_PGBOUNCER=true",
    "prepared_statement_cache_size": "set DATABASE_PGBOUNCER=true",
    "schema": "write options=-csearch_path%3DNAME",
    "search_path": "write options=-csearch_path%3DNAME",
    "socket_timeout": "set DATABASE_STATEMENT_TIMEOUT",
    "ssl": "write sslmode=require",
    "sslaccept": "write sslmode=verify-full or sslmode=require",
    "statement_cache_size": "set DATABASE_PGBOUNCER=true",
    "statement_timeout": "set DATABASE_STATEMENT_TIMEOUT",
    "tcp_user_timeout": "set DATABASE_TCP_USER_TIMEOUT",
    "timezone": "the service sets it to UTC",
}
# The server's parameters that the engine sends, which would replace those in `options`.
ENGINE_PARAMETERS = {
    "idle_in_transaction_session_timeout",
    "jit",
    "lock_timeout",
    "statement_timeout",
    "timezone",
}
URL_FORM = re.compile(
    r"(?:(?P<user>[^:@/?#\s]*)(?::(?P<password>[^@/?#\s]*))?@)?(?P<hosts>[^@/?#\s]*)"
    r"(?:/(?P<dbname>[^@?#\s]*))?(?:\?(?P<query>[^@#\s]*))?",
)
HOST_FORM = re.compile(r"(?:\[(?P<ipv6>[^]]+)\]|(?P<host>[^:[\]]*))(?::(?P<port>.*))?")
ENCODE = (
    "cannot be read; if the password holds '@', ':', '/', '?', '#', '%' or a space, "
    "write it percent-encoded ('#' is %23)"
)


def parse_database_url(value: object) -> URL:
    """A PostgreSQL URL, in any form that providers hand out, as SQLAlchemy's URL for the driver.

    `postgres://`, `postgresql://` and `postgresql+anything://` are the same; several hosts are
    separated by commas; a socket's directory stands in `?host=`, or percent-encoded before the
    port. What is accepted means what it means to libpq. A password never appears in an error.
    """
    if isinstance(value, URL):
        words = _words_of_url(value)
    elif isinstance(value, str):
        words = _words_of_text(value.strip())
    else:
        raise ValueError("must be a URL: postgresql://user:password@host:5432/name")
    user, password, database = (words.pop(name, None) for name in ("user", "password", "dbname"))
    hosts, ports = _match_hosts(words.pop("host", ""), words.pop("port", ""))
    _check_parameters(words)
    if words.get("sslrootcert") == "system":
        words["sslmode"] = "verify-full"  # as libpq does
    in_query = len(hosts) > 1 or hosts[0].startswith("/")
    if in_query:
        words |= {"host": ",".join(hosts), "port": ",".join(map(str, ports))}
    return URL.create(
        DRIVER,
        username=user or None,
        password=password or None,
        host=None if in_query else hosts[0] or None,
        port=None if in_query else ports[0],
        database=database or None,
        query=words,
    )


def _words_of_url(url: URL) -> dict[str, str]:
    """The URL by libpq's keywords."""
    if url.get_backend_name() != "postgresql":
        raise ValueError("must start with postgresql:// or postgres://")
    words = {
        "user": url.username,
        "password": url.password,
        "host": url.host,
        "port": url.port and str(url.port),
        "dbname": url.database,
        **url.query,
    }
    if any(isinstance(value, tuple) for value in words.values()):
        raise ValueError("has a parameter twice: separate several hosts by commas")
    return {name: str(value) for name, value in words.items() if value is not None}


def _words_of_text(text: str) -> dict[str, str]:
    """The URL by libpq's keywords, decoded; the query's replace what stands before it."""
    scheme, _, rest = text.partition("://")
    if scheme.partition("+")[0] not in {"postgres", "postgresql"} or not rest:
        raise ValueError("must start with postgresql:// or postgres://")
    parts = URL_FORM.fullmatch(rest)
    if parts is None:
        raise ValueError(ENCODE)
    places = [HOST_FORM.fullmatch(place) for place in parts["hosts"].split(",")]
    found = [place for place in places if place is not None]
    if len(found) < len(places):
        raise ValueError(f"has a host that {ENCODE}")
    words = {name: parts[name] for name in ("user", "password", "dbname") if parts[name]}
    if parts["hosts"]:
        words["host"] = ",".join(place["ipv6"] or place["host"] for place in found)
        words["port"] = ",".join(place["port"] or "" for place in found)
    given = [pair.split("=") for pair in (parts["query"] or "").split("&") if parts["query"]]
    if any(len(pair) != 2 for pair in given):
        raise ValueError("has a query that is not of the form name=value&name=value")
    query = {_decode(name): _decode(word) for name, word in given}
    if len(query) < len(given):
        raise ValueError("has a parameter twice: separate several hosts by commas")
    return {name: _decode(word) for name, word in words.items()} | query


def _decode(text: str) -> str:
    """The text without its percent-encoding; a plus sign is itself, as it is for libpq."""
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", text):
        raise ValueError(f"has a '%' that {ENCODE}")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("is percent-encoded, but not as UTF-8") from None


def _match_hosts(host: str, port: str) -> tuple[list[str], list[int]]:
    """The hosts and their ports: one port is the port of all hosts, an empty one is 5432."""
    hosts, ports = host.split(","), port.split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise ValueError("has several ports, but not one for each host")
    if len(hosts) > 1 and not all(hosts):
        raise ValueError("has an empty host among several")
    for name in hosts:
        try:
            name.encode("idna" if name and not re.search("[/:]", name) else "utf-8")
        except UnicodeError:
            raise ValueError(f"has a host that {ENCODE}") from None
    if not all(re.fullmatch(r"|0*[1-9]\d{0,4}", each, re.ASCII) for each in ports):
        raise ValueError(f"has a port that is not a number from 1 to 65535; or it {ENCODE}")
    numbers = [int(each or 5432) for each in ports]
    if max(numbers) > 65535:
        raise ValueError("has a port that is not a number from 1 to 65535")
    return hosts, numbers


def _check_parameters(words: dict[str, str]) -> None:
    """Refuse what is unknown, and what would have no effect."""
    if unknown := sorted(words.keys() - URL_PARAMETERS.keys()):
        named = [f"{name} ({HINTS[name]})" if name in HINTS else name for name in unknown]
        raise ValueError(
            f"has unknown parameters: {', '.join(named)}; "
            f"allowed are {', '.join(sorted(URL_PARAMETERS))}",
        )
    for name, allowed in URL_PARAMETERS.items():
        if allowed and words.get(name, next(iter(allowed))) not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(sorted(allowed))}")
    for name in re.findall(r"(?:-c\s*|--)([\w-]+)", words.get("options", "")):
        parameter = name.replace("-", "_").lower()
        if parameter in ENGINE_PARAMETERS:
            raise ValueError(f"options must not change {parameter}: {HINTS[parameter]}")
    _check_tls({name: word for name, word in words.items() if word})


def _check_tls(words: dict[str, str]) -> None:
    uses_system = words.get("sslrootcert") == "system"
    mode = words.get("sslmode", "verify-full" if uses_system else "prefer")
    if uses_system and mode != "verify-full":
        raise ValueError("sslrootcert=system needs sslmode=verify-full")
    unused = {"sslcrl", "sslrootcert"} if mode in {"allow", "prefer"} else set()
    if mode == "disable":
        unused = {"sslcert", "sslcrl", "sslkey", "sslrootcert"}
    if without_effect := sorted(unused & words.keys()):
        raise ValueError(f"{', '.join(without_effect)} has no effect with sslmode={mode}")
    if words.get("sslnegotiation") == "direct" and mode in {"disable", "allow", "prefer"}:
        raise ValueError("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full")
{% if cookiecutter.engine == "async" %}
    if words.get("channel_binding") == "require":
        raise ValueError(
            "channel_binding=require is not possible, since asyncpg does not support it: remove "
            "it, and use sslmode=verify-full to be sure of the server",
        )
    if uses_system and words.keys() & {"sslcert", "sslcrl", "sslkey"}:
        raise ValueError("sslrootcert=system cannot be combined with sslcert, sslcrl or sslkey")
{% else %}
    if words.get("channel_binding") == "require" and mode == "disable":
        raise ValueError("channel_binding=require needs TLS, which sslmode=disable forbids")
{% endif %}


DatabaseURL = Annotated[URL, NoDecode, PlainValidator(parse_database_url)]
Seconds = Annotated[float, Field(ge=0.001, le=86_400)]


class EnvironmentSettings(BaseSettings):
    """The environment's variables of the same names in upper case, or files in /run/secrets.

    Raises pydantic.ValidationError, which names the setting and what is allowed, and never shows a
    value: it may be a secret.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,
        secrets_dir="/run/secrets",
        secrets_dir_missing="ok",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The nested source is the one that accepts a missing directory: most machines have none.
        return init_settings, env_settings, NestedSecretsSettingsSource(file_secret_settings)


class Settings(EnvironmentSettings):
    """The settings of the database, which are all that migrations, development and tests need.

    Durations are in seconds.
    """

    database_url: DatabaseURL
    """The database of the service."""
    database_migration_url: DatabaseURL | None = None
    """For migrations, if not database_url: it bypasses PgBouncer, as the owner of the schema."""
    database_replica_url: DatabaseURL | None = None
    """A streaming replica, for read_only(stale_ok=True)."""
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
    """The age at which a connection is replaced."""
    database_connect_timeout: Seconds = 5.0
    """How long one attempt to connect may take."""
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

    def __init__(self, **values: Any) -> None:
        # For type checkers: a setting that is not given comes from the environment, and a URL may
        # be a string.
        super().__init__(**values)
