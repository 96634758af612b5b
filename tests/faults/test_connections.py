"""Connecting: every refusal is one exception that keeps the secret; TLS; several hosts."""

import logging
import os
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import (
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    column,
    insert,
    literal,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from .conftest import Connect, Project, administer, backends, eventually
from .servers import PASSWORD, PostgreSQL, free_port

pytestmark = pytest.mark.slow

QUESTION = text("SELECT inet_server_port(), current_setting('application_name')")
ONE = select(literal(1).label("one"))
WHO: Select[Any] = select(literal_column("current_user").label("name"))


def ask(database: Any) -> Any:
    with database.read_only() as session:
        return tuple(session.execute(QUESTION).one())


@pytest.mark.parametrize("case", ["password", "host", "port", "database"])
def test_a_connection_that_cannot_be_had_is_unavailable(
    project: Project, server: PostgreSQL, connect: Connect, case: str
) -> None:
    url = {
        "password": server.url(password="s3cret"),
        "host": server.url().replace("127.0.0.1", "no-such-host.invalid"),
        "port": server.url().replace(str(server.port), str(free_port())),
        "database": server.url().replace("/service", "/missing"),
    }[case]
    database = connect(url)
    for use in (lambda: ask(database), database.ping):
        with pytest.raises(SQLAlchemyError) as caught:
            use()
        assert project.fault_of(caught.value) == "UNAVAILABLE"


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param("REVOKE CONNECT ON DATABASE gated FROM public", id="42501"),
        pytest.param("ALTER DATABASE gated ALLOW_CONNECTIONS false", id="55000"),
        pytest.param("ALTER DATABASE gated CONNECTION LIMIT 0", id="53300"),
        pytest.param("ALTER ROLE guest NOLOGIN", id="28000"),
        pytest.param("ALTER ROLE guest VALID UNTIL '2000-01-01'", id="28P01"),
        pytest.param("DROP DATABASE gated WITH (FORCE)", id="3D000"),
    ],
)
def test_every_refusal_of_a_connection_is_unavailable(
    project: Project,
    server: PostgreSQL,
    gate: psycopg.Connection[Any],
    connect: Connect,
    refusal: str,
) -> None:
    url = server.url(user="guest", password="guest").replace("/service", "/gated")
    database = connect(url)
    ask(database)
    gate.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guest'")
    eventually(lambda: not backends(server, "usename = 'guest'"))
    gate.execute(refusal)
    try:
        for use in (database.transaction, database.read_only):
            with pytest.raises(SQLAlchemyError) as caught, use() as reader:
                reader.execute(text("SELECT 1"))
            assert project.fault_of(caught.value) == "UNAVAILABLE"
        for ask_at_once in (database.ping, lambda: database.fetch(ONE)):
            with pytest.raises(SQLAlchemyError) as caught:
                ask_at_once()
            assert project.fault_of(caught.value) == "UNAVAILABLE"
    finally:
        if "DROP" in refusal:
            gate.execute("CREATE DATABASE gated")


@pytest.mark.parametrize(
    "option",
    ["-cnonsense%3D1", "-cwork_mem%3Dlittle", "-crole%3Dnobody", "-csearch_path", "nonsense", "-z"],
)
def test_wrong_options_are_unavailable(
    project: Project, server: PostgreSQL, connect: Connect, option: str
) -> None:
    database = connect(server.url(query=f"?options={option}"))
    with pytest.raises(SQLAlchemyError) as caught:
        ask(database)
    assert project.fault_of(caught.value) == "UNAVAILABLE"


@pytest.mark.parametrize("name", ["transaction_timeout", "idle_session_timeout"])
def test_a_session_that_the_server_ends_is_unavailable(
    project: Project, server: PostgreSQL, connect: Connect, name: str
) -> None:
    """25P04 and 57P05."""
    database = connect(server.url(query=f"?options=-c{name}%3D100"))
    statement = text("SELECT pg_sleep(0.3)")

    def work() -> None:
        with database.transaction() as session:
            session.execute(statement)

    if name == "transaction_timeout":
        with pytest.raises(SQLAlchemyError) as caught:
            work()
        assert project.fault_of(caught.value) == "UNAVAILABLE"
    else:
        work()
        eventually(lambda: not backends(server))
        work()  # the connection is replaced


def test_too_many_connections_are_unavailable(
    project: Project, server: PostgreSQL, connect: Connect
) -> None:
    with administer(server) as connection:
        connection.execute("DROP ROLE IF EXISTS narrow")
        connection.execute("CREATE ROLE narrow LOGIN CONNECTION LIMIT 1 PASSWORD 'narrow'")
    url = server.url(user="narrow", password="narrow")
    database = connect(url)
    with psycopg.connect(url), pytest.raises(SQLAlchemyError) as caught:
        ask(database)
    assert project.fault_of(caught.value) == "UNAVAILABLE"
    eventually(lambda: not backends(server, "usename = 'narrow'"))
    assert ask(database)[0] == server.port


def test_secrets_are_masked(
    project: Project,
    server: PostgreSQL,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = project.settings(server.url())
    shown = [repr(settings), str(settings), repr(settings.database_url)]
    database = connect(server.url(password=PASSWORD + "wrong"), replica_url=server.url())
    shown += [repr(database.engine), repr(database.settings)]
    with pytest.raises(SQLAlchemyError) as caught:
        ask(database)
    error: BaseException | None = caught.value
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__
    shown.append(caplog.text)
    for secret in (PASSWORD, "p%40s", server.url()):
        assert not [each for each in shown if secret in each]


def test_settings_come_from_files(
    project: Project,
    server: PostgreSQL,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "database_url").write_text(server.url() + "\n")
    monkeypatch.setenv("SECRETS_DIRECTORY", str(tmp_path))
    settings = project.module("settings").Settings()
    assert ask(connect(settings.database_url))[0] == server.port


@pytest.mark.parametrize("source", ["file", "token"])
def test_a_password_that_changes_is_used_from_the_next_connection_on(
    project: Project,
    server: PostgreSQL,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    url = server.url(user="rotated", password="").replace(":@", "@")
    password = tmp_path / "password"

    def rotate(value: str) -> None:
        with administer(server) as connection:
            connection.execute(f"ALTER ROLE rotated PASSWORD '{value}'")
        password.write_text(value + "\n")

    def use_every_engine() -> None:
        for stale_ok in (False, True):
            assert database.fetch(WHO, stale_ok=stale_ok) == [{"name": "rotated"}]
            with database.read_only(stale_ok=stale_ok) as session:
                assert session.scalar(WHO) == "rotated"
        with database.transaction() as session:
            assert session.scalar(WHO) == "rotated"
        database.ping()

    def token() -> str:
        return password.read_text().strip()

    async def awaited_token() -> str:
        return password.read_text().strip()

    with administer(server) as connection:
        connection.execute("DROP ROLE IF EXISTS rotated")
        connection.execute("CREATE ROLE rotated LOGIN")
    rotate("first")
    if source == "token":
        function = awaited_token if project.engine == "async" else token
        monkeypatch.setattr(project.module("database.engine"), "password_of", lambda *_: function)
        database = connect(url, replica_url=url)
    else:
        database = connect(url, replica_url=url, password_file=password)
    use_every_engine()
    rotate("second")
    use_every_engine()  # on the connections that are open
    database.dispose()
    use_every_engine()
    with administer(server) as connection:
        connection.execute("ALTER ROLE rotated PASSWORD 'third'")
    database.dispose()
    with pytest.raises(SQLAlchemyError) as caught:
        database.ping()
    assert project.fault_of(caught.value) == "UNAVAILABLE"


def test_a_password_file_that_cannot_be_read_is_unavailable_and_not_shown(
    project: Project, server: PostgreSQL, connect: Connect, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    database = connect(server.url(password="").replace(":@", "@"), password_file=password)
    assert ask(database)[0] == server.port
    database.dispose()
    for damage in (lambda: password.write_bytes(b"\xff" + PASSWORD.encode()), password.unlink):
        damage()
        with pytest.raises(SQLAlchemyError) as caught:
            ask(database)
        assert project.fault_of(caught.value) == "UNAVAILABLE"
        assert PASSWORD not in str(caught.value)


def test_migrations_read_the_password_file(
    project: Project, server: PostgreSQL, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": "src",
        "DATABASE_URL": server.url(password="").replace(":@", "@"),
        "DATABASE_PASSWORD_FILE": str(password),
    }
    statuses = []
    for value in ("wrong", PASSWORD):
        password.write_text(value)
        command = [sys.executable, "-m", "alembic", "current"]
        done = subprocess.run(command, cwd=project.path, env=environment, capture_output=True)
        statuses.append(done.returncode == 0)
    assert statuses == [False, True], done.stderr.decode()


def test_the_application_is_known_to_the_server(
    project: Project, server: PostgreSQL, connect: Connect
) -> None:
    assert ask(connect())[1] == project.path.name
    assert ask(connect(server.url(query="?application_name=reports")))[1] == "reports"


def test_the_first_host_that_answers_is_used(server: PostgreSQL, connect: Connect) -> None:
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{server.port}"
    assert ask(connect(server.url().replace(f"127.0.0.1:{server.port}", hosts)))[0] == server.port


@pytest.mark.parametrize("query", ["", "?target_session_attrs=prefer-standby"])
def test_a_host_that_is_silent_does_not_hide_the_next(
    server: PostgreSQL, connect: Connect, query: str
) -> None:
    """With the default connect timeout, which all hosts share."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = f"127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{server.port}"
        url = server.url(query=query).replace(f"127.0.0.1:{server.port}", hosts)
        begun = time.monotonic()
        assert ask(connect(url))[0] == server.port
        assert time.monotonic() - begun < 5.0


@pytest.mark.parametrize("place", ["netloc", "query"])
def test_a_socket_of_unix_connects(server: PostgreSQL, connect: Connect, place: str) -> None:
    directory = str(server.directory)
    if place == "netloc":
        url = server.url().replace("127.0.0.1", quote(directory, safe=""))
    else:
        query = f"?host={directory}&port={server.port}"
        url = server.url(query=query).replace(f"127.0.0.1:{server.port}", "")
    database = connect(url)
    assert ask(database)[0] is None  # no port
    for _ in range(3):
        assert database.fetch(ONE) == [{"one": 1}]
    database.ping()


@pytest.mark.parametrize("case", ["host", "port"])
def test_a_url_that_names_hosts_twice_is_refused_or_read_as_libpq_does(
    project: Project, server: PostgreSQL, connect: Connect, case: str
) -> None:
    """Providers write postgresql://localhost/name?host=/a/directory."""
    query = f"?host={server.directory}" if case == "host" else f"?port={server.port}"
    url = server.url(query=query)
    url = url.replace(f":{server.port}/", "/") if case == "port" else url
    try:
        database = connect(url)
    except project.module("settings").SettingsError:
        return
    assert ask(database)[0] == (None if case == "host" else server.port)


def test_an_address_that_is_silent_does_not_hide_the_next(
    project: Project, server: PostgreSQL, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name can have several addresses, as those of highly available servers do."""
    if project.engine == "async":
        pytest.skip("asyncpg has one timeout for all addresses of a name")
    resolve = socket.getaddrinfo

    def resolve_twice(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "two.example":
            return resolve(host, port, *args, **kwargs)
        addresses = ("127.0.0.3", "127.0.0.1")
        return [each for name in addresses for each in resolve(name, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve_twice)
    url = server.url().replace("127.0.0.1", "two.example")
    with socket.create_server(("127.0.0.3", server.port)):
        assert ask(connect(url, connect_timeout=2.0))[0] == server.port


@pytest.mark.parametrize("place", ["URL", "PGHOST", "default"])
def test_the_kernel_gives_up_a_lost_host(
    project: Project,
    connect: Connect,
    server: PostgreSQL,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """Also if the URL names no host."""
    monkeypatch.setenv("PGPORT", str(server.port))
    if place == "PGHOST":
        monkeypatch.setenv("PGHOST", "127.0.0.1")
    elif place == "default" and project.engine == "sync":
        pytest.skip("libpq looks for a socket only")
    named = f"127.0.0.1:{server.port}"
    url = server.url() if place == "URL" else server.url().replace(named, "")
    database = connect(url, tcp_user_timeout=7.5, keepalives_idle=20)
    with database.transaction() as session:
        session.execute(text("SELECT 1"))
        ours = [
            socket.socket(fileno=os.dup(int(number.name)))
            for number in Path("/proc/self/fd").iterdir()
            if number.is_symlink() and str(number.readlink()).startswith("socket:")
        ]
        options = [
            (
                each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                each.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                each.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            )
            for each in ours
            if is_connected_to(each, server.port)
        ]
        for each in ours:
            each.close()
    assert (1, 7500, 20) in options  # among those of other tests


def is_connected_to(connection: socket.socket, port: int) -> bool:
    try:
        return connection.family != socket.AF_UNIX and connection.getpeername()[1] == port
    except OSError:
        return False


@pytest.mark.parametrize("scheme", ["postgres://", "postgresql+psycopg2://"])
def test_a_url_of_a_provider_connects(server: PostgreSQL, connect: Connect, scheme: str) -> None:
    query = "?sslmode=prefer&application_name=ours"
    url = server.url(query=query).replace("postgresql://", scheme)
    assert ask(connect(url))[0] == server.port


@pytest.mark.parametrize(
    ("mode", "works"),
    [
        ("disable", True),
        ("prefer", True),
        ("require", True),
        ("verify-ca", False),
        ("verify-full", False),
    ],
)
def test_tls_without_the_root_certificate(
    project: Project, tls_server: PostgreSQL, connect: Connect, mode: str, works: bool
) -> None:
    database = connect(tls_server.url(query=f"?sslmode={mode}"))
    encrypted = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    if works:
        with database.read_only() as session:
            assert session.scalar(encrypted) is (mode != "disable")
    else:
        for use in (lambda: ask(database), database.ping):
            with pytest.raises(SQLAlchemyError) as caught:
                use()
            assert project.fault_of(caught.value) == "UNAVAILABLE"


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_tls_with_the_root_certificate(tls_server: PostgreSQL, connect: Connect, mode: str) -> None:
    query = f"?sslmode={mode}&sslrootcert={tls_server.root_certificate}"
    assert ask(connect(tls_server.url(query=query)))[0] == tls_server.port


@pytest.mark.parametrize("query", ["sslrootcert=system", "sslmode=verify-full&sslrootcert=system"])
def test_the_system_s_certificates_verify_the_server_and_its_name(
    project: Project,
    tls_server: PostgreSQL,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
) -> None:
    url = tls_server.url(query=f"?{query}")
    other = url.replace("127.0.0.1", "127.0.0.2")
    for untrusted, certificates in ((url, "/dev/null"), (other, tls_server.root_certificate)):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
        with pytest.raises(SQLAlchemyError) as caught:
            ask(connect(untrusted))
        assert project.fault_of(caught.value) == "UNAVAILABLE"
        assert "certificate" in str(caught.value)
    assert ask(connect(url))[0] == tls_server.port


def test_tls_of_another_host_is_refused(
    project: Project, tls_server: PostgreSQL, connect: Connect
) -> None:
    query = f"?sslmode=verify-full&sslrootcert={tls_server.root_certificate}"
    other = tls_server.url(query=query).replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(SQLAlchemyError) as caught:
        ask(connect(other))
    assert project.fault_of(caught.value) == "UNAVAILABLE"


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_tls_is_never_given_up(
    server: PostgreSQL, project: Project, connect: Connect, mode: str
) -> None:
    """A server without TLS is refused where TLS is asked for."""
    with pytest.raises(SQLAlchemyError) as caught:
        ask(connect(server.url(query=f"?sslmode={mode}")))
    assert project.fault_of(caught.value) == "UNAVAILABLE"


def test_a_silent_server_is_given_up_within_the_connect_timeout(
    project: Project, server: PostgreSQL, connect: Connect
) -> None:
    """asyncpg to a tenth of a second; psycopg in whole seconds, and two at least."""
    database = connect(connect_timeout=0.3)
    limit = 0.3 if project.engine == "async" else 2.0
    with server.frozen():
        begun = time.monotonic()
        with pytest.raises(SQLAlchemyError) as caught:
            ask(database)
        asked = time.monotonic()
        with pytest.raises(SQLAlchemyError):
            database.ping()
        assert asked - begun < limit + 0.7
        assert time.monotonic() - asked < max(limit, 1.0) + 0.7
    assert project.fault_of(caught.value) == "UNAVAILABLE"
    assert ask(database)[0] == server.port


def test_values_are_in_no_message_and_no_log(
    project: Project, server: PostgreSQL, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's DETAIL holds the row, and an error of a value quotes it."""
    caplog.set_level(logging.INFO)
    users = table("users", column("name"), column("email"))
    add = insert(users)
    row = {"name": "QZXJ", "email": "qzxj@example.com"}
    number: Select[Any] = select(literal_column("1")).where(
        cast(bindparam("number", type_=Text), Integer) == 1
    )
    database = connect(slow_query=0.001)
    for time_ in range(3):
        database.fetch(add, {"name": "Ada", "email": f"{time_}@example.com"})
        database.fetch(number, {"number": "1"})
    database.fetch(add, row)

    def execute(statement: Any, values: Any) -> None:
        with database.transaction() as session:
            session.execute(statement, values)

    shown = []
    for use in (database.fetch, execute):
        for statement, values in (
            (add, row),
            (add, {"name": None, "email": "qzxj"}),
            (add, {"name": "qzxj\0", "email": "qzxj"}),
            (number, {"number": "qzxj"}),
        ):
            with pytest.raises(SQLAlchemyError) as caught:
                use(statement, values)
            shown.append("".join(traceback.format_exception(caught.value)))
    lines = "".join([*shown, caplog.text]).lower().splitlines()
    assert not [line for line in lines if "qzxj" in line]
