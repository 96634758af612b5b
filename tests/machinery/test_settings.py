"""Settings accept what providers hand out, and refuse what cannot work before anything connects."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from {{ cookiecutter.project_slug }}.settings import (
    DRIVER,
    EnvironmentSettings,
    Settings,
    parse_database_url,
)

PASSWORD = "p@s/s:w %#?"
ENCODED = "p%40s%2Fs%3Aw%20%25%23%3F"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_url_in_any_spelling_is_one_for_the_driver(scheme: str) -> None:
    url = parse_database_url(f"{scheme}://ann:{ENCODED}@db/orders?sslmode=require")
    assert url.drivername == DRIVER
    assert (url.username, url.password, url.host, url.port) == ("ann", PASSWORD, "db", 5432)
    assert (url.database, url.query["sslmode"]) == ("orders", "require")


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        pytest.param("postgresql://a:1,b:2/db", "a,b", "1,2", id="ports"),
        pytest.param("postgresql://a,b:2/db", "a,b", "5432,2", id="default-port"),
        pytest.param("postgresql:///db?host=a,b&port=1,2", "a,b", "1,2", id="parameters"),
        pytest.param("postgresql:///db?host=/run/pg", "/run/pg", "5432", id="socket"),
        pytest.param("postgresql://[::1]:1,[::2]:2/db", "::1,::2", "1,2", id="ipv6"),
        pytest.param("postgresql://%2Frun%2Fpg:5433/db", "/run/pg", "5433", id="encoded-socket"),
        pytest.param("postgresql://a:5433/db?host=/run/pg", "/run/pg", "5433", id="other-host"),
    ],
)
def test_several_hosts_and_sockets_are_understood(url: str, hosts: str, ports: str) -> None:
    assert dict(parse_database_url(url).query) == {"host": hosts, "port": ports}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("mysql://h/db", "must start with postgresql://", id="scheme"),
        pytest.param("orders", "must start with postgresql://", id="name"),
        pytest.param("postgresql://h/db?sslmode=maybe", "sslmode must be one of", id="sslmode"),
        pytest.param("postgresql://h/db?x=1", "unknown parameters: x; allowed", id="parameter"),
        pytest.param("postgresql://h:99999/db", "port", id="port"),
        pytest.param("postgresql://u:a/b@h/db", "percent-encoded", id="raw-slash"),
        pytest.param("postgresql://u:a#b@h/db", "%23", id="raw-hash"),
        pytest.param("postgresql://h,i:1,2,3/db?port=1,2,3", "one for each host", id="ports"),
        pytest.param("postgresql://h/db?pgbouncer=true", "DATABASE_PGBOUNCER=true", id="prisma"),
        pytest.param("postgresql://h/db?connection_limit=5", "DATABASE_POOL_SIZE", id="limit"),
        pytest.param("postgresql://h/db?schema=x", "search_path", id="schema"),
        pytest.param("postgresql://h/db?connect_timeout=9", "CONNECT_TIMEOUT", id="timeout"),
        pytest.param(
            "postgresql://h/db?options=-c%20statement_timeout%3D1",
            "set DATABASE_STATEMENT_TIMEOUT",
            id="options",
        ),
        pytest.param("postgresql://h/db?target_session_attrs=master", "primary", id="attribute"),
        pytest.param("postgresql://h/db?sslnegotiation=fast", "direct", id="negotiation"),
        pytest.param("postgresql://h/db?sslnegotiation=direct", "sslmode=require", id="direct"),
        pytest.param("postgresql://h/db?channel_binding=yes", "require", id="binding"),
        pytest.param("postgresql://h/db?sslrootcert=ca.pem", "no effect", id="unverified"),
        pytest.param(
            "postgresql://h/db?sslmode=require&sslrootcert=system", "verify-full", id="weak"
        ),
    ],
)
def test_a_wrong_url_is_refused_with_the_reason(url: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as refusal:
        Settings(database_url=url)
    assert "database_url" in str(refusal.value)
    assert url not in str(refusal.value)


@pytest.mark.parametrize("raw", [*"@/?#%[]: \n\t", "%zz", "%00", "%ff", "[x", "?x=1&"])
def test_a_password_that_is_not_encoded_is_never_shown(raw: str) -> None:
    for url in (
        f"postgresql://ann:sec{raw}ret@h/db",
        f"postgresql://ann:12{raw}ret@h/db",
        f"postgresql://ann:sec{raw}ret@h:port/db",
    ):
        try:
            parsed = parse_database_url(url)
        except ValueError as error:
            assert not {"sec", "12", "ret"} & set(re.findall(r"\w+", str(error)))
        else:
            assert parsed.password == url.partition("ann:")[2].partition("@")[0]


def test_a_url_object_means_what_its_text_means() -> None:
    url = parse_database_url(f"postgresql://ann:{ENCODED}@a,b:2/o%20r?application_name=a+b%20c")
    assert (url.password, url.database, url.query["application_name"]) == (PASSWORD, "o r", "a+b c")
    assert parse_database_url(url) == url


def test_the_certificates_of_the_system_verify_the_host() -> None:
    url = parse_database_url("postgresql://h/db?sslrootcert=system")
    assert url.query["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_pool_size", "0"),
        ("database_max_overflow", "-1"),
        ("database_pool_timeout", "soon"),
        ("database_statement_timeout", "inf"),
        ("database_lock_timeout", "0"),
    ],
)
def test_a_wrong_number_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/db")
    monkeypatch.setenv(name.upper(), value)
    with pytest.raises(ValidationError, match=name):
        Settings()


def test_the_url_is_required() -> None:
    with pytest.raises(ValidationError, match="database_url"):
        Settings()


def test_an_empty_variable_is_an_absent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_REPLICA_URL", "")
    assert Settings(database_url="postgresql://h/db").database_replica_url is None


def test_a_password_is_never_shown() -> None:
    settings = Settings(database_url=f"postgresql://ann:{ENCODED}@h/db")
    assert settings.database_url.password == PASSWORD
    for shown in (repr(settings), str(settings), str(settings.database_url)):
        assert PASSWORD not in shown
        assert ENCODED not in shown


def test_a_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/db")
    assert Settings().database_url.database == "db"


def test_a_setting_can_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "database_url").write_text("postgresql://ann:secret@h/db\n")
    settings = Settings(_secrets_dir=tmp_path)
    assert settings.database_url.password == "secret"


class ExampleSettings(EnvironmentSettings):
    jwt_secret: SecretStr

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


def test_the_database_needs_nothing_of_the_application(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Nor does the application need the database's settings; their files lie side by side."""
    (tmp_path / "database_url").write_text("postgresql://h/db")
    assert Settings(_secrets_dir=tmp_path).database_url.database == "db"
    with pytest.raises(ValidationError, match="jwt_secret"):
        ExampleSettings(_secrets_dir=tmp_path)
    (tmp_path / "jwt_secret").write_text("of a file\n")
    assert Settings(_secrets_dir=tmp_path).database_url.database == "db"
    assert ExampleSettings(_secrets_dir=tmp_path).jwt_secret.get_secret_value() == "of a file"
    monkeypatch.setenv("JWT_SECRET", "of the environment")
    settings = ExampleSettings(_secrets_dir=tmp_path)
    assert settings.jwt_secret.get_secret_value() == "of the environment"
