"""Settings accept what providers hand out, and refuse what cannot work before anything connects."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from {{ cookiecutter.project_slug }}.settings import (
    EnvironmentSettings,
    Settings,
    SettingsError,
)

ENCODED = "p%40s%2Fs%3Aw%20%25%23%3F"


def url_of(settings: Settings) -> str:
    return settings.database_url.get_secret_value()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_url_in_any_spelling_is_one_for_the_driver(scheme: str) -> None:
    rest = f"ann:{ENCODED}@db/orders?sslmode=require"
    assert url_of(Settings(database_url=f"{scheme}://{rest}")) == f"postgresql://{rest}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:1,b:2/db",
        "postgresql://a,b:2/db?target_session_attrs=read-write",
        "postgresql:///db?host=a,b&port=1,2",
        "postgresql:///db?host=/run/pg",
        "postgresql://[::1]:1,[::2]:2/db",
        "postgresql://%2Frun%2Fpg:5433/db",
        "postgresql://ann@/db?host=/run/pg&port=5433",
        "postgresql://h/o%20r?application_name=a%20b",
    ],
)
def test_several_hosts_and_sockets_are_understood(url: str) -> None:
    assert url_of(Settings(database_url=url)) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("mysql://h/db", "must start with postgresql://", id="scheme"),
        pytest.param("orders", "must start with postgresql://", id="name"),
        pytest.param("postgresql://h/db?sslmode=maybe", "have sslmode as one of", id="sslmode"),
        pytest.param("postgresql://h:99999/db", "port from 1 to 65535", id="port"),
        pytest.param("postgresql://h:db/db", "port", id="port-of-letters"),
        pytest.param("postgresql://a,,b/db", "empty host", id="empty-host"),
        pytest.param("postgresql://u:a/b@h/db", "percent-encoded", id="raw-slash"),
        pytest.param("postgresql://u:a#b@h/db", "%23", id="raw-hash"),
        pytest.param("postgresql://h/db?sslmode", "name=value", id="no-value"),
        pytest.param("postgresql://h/db?port=1&port=2", "each name once", id="twice"),
        pytest.param("postgresql://h/db?pgbouncer=true", "DATABASE_PGBOUNCER=true", id="prisma"),
        pytest.param("postgresql://h/db?connection_limit=5", "DATABASE_POOL_SIZE", id="limit"),
        pytest.param("postgresql://h/db?schema=x", "search_path", id="schema"),
        pytest.param("postgresql://h/db?connect_timeout=9", "CONNECT_TIMEOUT", id="timeout"),
        pytest.param("postgresql://h/db?target_session_attrs=master", "primary", id="attribute"),
        pytest.param("postgresql://h/db?sslnegotiation=fast", "direct", id="negotiation"),
{% if cookiecutter.engine == "async" %}
        pytest.param("postgresql://h/db?channel_binding=require", "verify-full", id="binding"),
{% else %}
        pytest.param("postgresql://h/db?nonsense=1", "libpq does not know", id="parameter"),
{% endif %}
    ],
)
def test_a_wrong_url_is_refused_in_one_line_with_the_reason(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refusal:
        Settings(database_url=url)
    shown = str(refusal.value)
    assert re.match("DATABASE_URL:? ", shown)
    assert "\n" not in shown
    assert url not in shown


@pytest.mark.parametrize("raw", [*"@/?#%[]: \n\t", "%zz", "%00", "%ff", "[x", "?x=1&"])
def test_a_password_that_is_not_encoded_is_never_shown(raw: str) -> None:
    for url in (
        f"postgresql://ann:sec{raw}ret@h/db",
        f"postgresql://ann:12{raw}ret@h/db",
        f"postgresql://ann:sec{raw}ret@h:port/db",
        f"postgresql://ann:sec{raw}ret@h/db?sslmode=maybe",
        f"postgresql://h/db?password=sec{raw}ret&sslmode=maybe",
    ):
        try:
            settings = Settings(database_url=url)
        except SettingsError as error:
            assert not {"sec", "12", "ret"} & set(re.findall(r"\w+", str(error)))
        else:
            assert url_of(settings) == url


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
    with pytest.raises(SettingsError, match=name.upper()):
        Settings()


def test_the_url_is_required() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        Settings()


def test_an_empty_variable_is_an_absent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_REPLICA_URL", "")
    assert Settings(database_url="postgresql://h/db").database_replica_url is None


def test_a_password_is_never_shown() -> None:
    settings = Settings(database_url=f"postgresql://ann:{ENCODED}@h/db")
    for shown in (repr(settings), str(settings), str(settings.database_url)):
        assert ENCODED not in shown


def test_a_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/db")
    assert url_of(Settings()) == "postgresql://h/db"


class ExampleSettings(EnvironmentSettings):
    jwt_secret: SecretStr

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


def test_a_setting_can_be_a_file_of_its_own_name(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The database needs nothing of the application, nor it of the database: nor their files."""
    monkeypatch.setenv("SECRETS_DIRECTORY", str(tmp_path))
    (tmp_path / "database_url").write_text("postgresql://ann:secret@h/db\n")
    with (tmp_path / "unrelated").open("wb") as unrelated:
        unrelated.truncate(17 * 2**20)
    (tmp_path / "unreadable").touch(mode=0)
    assert url_of(Settings()) == "postgresql://ann:secret@h/db"
    with pytest.raises(SettingsError, match="JWT_SECRET"):
        ExampleSettings()
    (tmp_path / "jwt_secret").write_text("of a file\n")
    assert ExampleSettings().jwt_secret.get_secret_value() == "of a file"
    monkeypatch.setenv("JWT_SECRET", "of the environment")
    assert ExampleSettings().jwt_secret.get_secret_value() == "of the environment"
