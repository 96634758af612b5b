"""Every setting of the service, from the environment or files, validated before it is used."""

import re
from typing import Annotated, Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, PlainValidator
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
TLS_MODES = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
# libpq's names, which providers use in their URLs; the engine translates them for the driver.
URL_PARAMETERS = {
    "application_name",
    "channel_binding",
    "connect_timeout",
    "host",
    "options",
    "port",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
}


def parse_database_url(value: object) -> URL:
    """A PostgreSQL URL, in any form that providers hand out, as SQLAlchemy's URL for the driver.

    `postgres://`, `postgresql://` and `postgresql+anything://` are the same; several hosts are
    separated by commas; a socket's directory stands in `?host=`. User and password are
    percent-encoded. A password never appears in an error.
    """
    if isinstance(value, URL):
        value = value.render_as_string(hide_password=False)
    if not isinstance(value, str):
        raise ValueError("must be a URL: postgresql://user:password@host:5432/name")
    scheme, _, rest = value.strip().partition("://")
    if scheme.partition("+")[0] not in {"postgres", "postgresql"} or not rest:
        raise ValueError("must start with postgresql:// or postgres://")
    parts = urlsplit(f"postgresql://{rest}")
    if parts.fragment:
        raise ValueError("holds a '#': write it as %23")
    parameters = {name: ",".join(values) for name, values in parse_qs(parts.query).items()}
    if unknown := parameters.keys() - URL_PARAMETERS:
        raise ValueError(
            f"has unknown parameters: {', '.join(sorted(unknown))}; "
            f"allowed are {', '.join(sorted(URL_PARAMETERS))}",
        )
    if parameters.get("sslmode", "prefer") not in TLS_MODES:
        raise ValueError(f"sslmode must be one of {', '.join(sorted(TLS_MODES))}")
    credentials, _, netloc = parts.netloc.rpartition("@")
    username, has_password, password = credentials.partition(":")
    hosts, ports = _split_hosts(netloc or parameters.pop("host", ""), parameters.pop("port", ""))
    if len(hosts) > 1 or hosts[0].startswith("/"):
        parameters |= {"host": ",".join(hosts), "port": ",".join(map(str, ports))}
    return URL.create(
        DRIVER,
        username=unquote(username) or None,
        password=unquote(password) if has_password else None,
        host=None if "host" in parameters else hosts[0] or None,
        port=None if "host" in parameters else ports[0],
        database=unquote(parts.path.removeprefix("/")) or None,
        query=parameters,
    )


def _split_hosts(hosts: str, ports: str) -> tuple[list[str], list[int]]:
    """The names and ports of `a:1,b:2` and `[::1]:1`, or of `a,b` with the ports `1,2` beside."""
    names: list[str] = []
    numbers: list[int] = []
    default_ports = ports.split(",") if ports else ["5432"]
    for position, host in enumerate(unquote(hosts).split(",")):
        found = re.fullmatch(r"(/.*|\[[^]]*\]|[^:]*)(?::(\d{1,5}))?", host)
        if found is None:
            raise ValueError(
                "has a host or port that cannot be read; if the password holds '@', ':', '/', "
                "'?', '#', '%' or a space, write it percent-encoded",
            )
        port = found[2] or default_ports[min(position, len(default_ports) - 1)]
        if not (port.isdigit() and 0 < int(port) < 65536):
            raise ValueError("has a port that is not a number from 1 to 65535")
        names.append(found[1].strip("[]"))
        numbers.append(int(port))
    return names, numbers


DatabaseURL = Annotated[URL, NoDecode, PlainValidator(parse_database_url)]
Seconds = Annotated[float, Field(ge=0.001, le=86_400)]


class Settings(BaseSettings):
    """The environment's variables of the same names in upper case, or files in /run/secrets.

    Durations are in seconds. Raises pydantic.ValidationError, which names the setting and what is
    allowed, and never shows a value: it may be a secret.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,
        secrets_dir="/run/secrets",
        secrets_dir_missing="ok",
    )

    database_url: DatabaseURL
    """What the service connects to."""
    database_migration_url: DatabaseURL | None = None
    """What migrations connect to, if not database_url: round PgBouncer, as the schema's owner."""
    database_replica_url: DatabaseURL | None = None
    """A streaming replica, for read_only(stale_ok=True)."""
    database_pgbouncer: bool = False
    """Whether database_url names a PgBouncer in transaction mode."""
    database_pool_size: Annotated[int, Field(ge=1)] = {{ cookiecutter.pool_size }}
    """Connections kept open, per pool; a process has a write pool and a read pool."""
    database_max_overflow: Annotated[int, Field(ge=0)] = {{ cookiecutter.max_overflow }}
    """Connections above the pool's size, opened under load and closed after each use."""
    database_pool_timeout: Seconds = 5.0
    """How long to wait for a connection of the pool."""
    database_pool_recycle: Seconds = 1800.0
    """The age at which a connection is replaced."""
    database_connect_timeout: Seconds = 5.0
    database_statement_timeout: Seconds = 30.0
    database_lock_timeout: Seconds = 5.0
    database_idle_in_transaction_timeout: Seconds = 60.0
    database_slow_query: Seconds = 0.5
    """Statements that take longer are logged, without their parameters."""

    def __init__(self, **values: Any) -> None:
        # For type checkers: a setting that is not given comes from the environment, and a URL may
        # be a string.
        super().__init__(**values)

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
