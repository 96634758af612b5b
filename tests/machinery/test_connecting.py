"""Connections: the password of the moment, TCP that notices a lost host, and clear refusals."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from {{ cookiecutter.project_slug }}.database import Database, Fault, fault_of
from {{ cookiecutter.project_slug }}.database import asyncpg_driver as driver
from {{ cookiecutter.project_slug }}.settings import Settings


def without_password(url: str) -> str:
    """The URL of the test server, which trusts; a password in it belongs to another test."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return url.replace(f"//{parts.netloc}", f"//{user.partition(':')[0]}@{host}", 1)


async def use_every_engine(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("SELECT 1"))
    for stale_ok in (False, True):
        async with database.read_only(stale_ok=stale_ok) as session:
            await session.execute(text("SELECT 1"))
    await database.ping()


async def test_the_password_is_read_for_every_new_connection(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "password"
    path.write_text("first\n")
    url = without_password(database_url)
    settings = Settings(
        database_url=url,
        database_replica_url=url,
        database_password_file=path,
    )
    read: list[str] = []
    connect = driver.open_connection

    def record(*arguments: Any) -> Any:
        read.append(arguments[-1]())
        return connect(*arguments)

    monkeypatch.setattr(driver, "open_connection", record)
    async with Database(settings) as database:
        await use_every_engine(database)
        assert read == ["first"] * 4
        path.write_text("second")
        await use_every_engine(database)  # on the connections that are open
        assert len(read) == 4
        await database.dispose()
        await use_every_engine(database)
        assert read[4:] == ["second"] * 4


@pytest.mark.parametrize("content", [None, b"\xff"])
async def test_a_password_that_cannot_be_read_is_a_failure_to_connect(
    database_url: str,
    tmp_path: Path,
    content: bytes | None,
) -> None:
    path = tmp_path / "password"
    path.touch()
    settings = Settings(
        database_url=without_password(database_url),
        database_password_file=path,
    )
    async with Database(settings) as database:
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        with pytest.raises(OperationalError, match=f"cannot connect.*{path}") as failure:
            async with database.read_only() as session:
                await session.execute(text("SELECT 1"))
    assert fault_of(failure.value) is Fault.UNAVAILABLE


@pytest.mark.parametrize("options", ["-c nonsense=1", "-c work_mem=little"])
async def test_a_connection_that_the_server_refuses_is_unavailable(
    database_url: str,
    options: str,
) -> None:
    given = options.replace(" ", "%20").replace("=", "%3D")
    separator = "&" if "?" in database_url else "?"
    url = f"{database_url}{separator}options={given}"
    async with Database(Settings(database_url=url)) as database:
        with pytest.raises(DBAPIError) as failure:
            async with database.read_only() as session:
                await session.execute(text("SELECT 1"))
    assert fault_of(failure.value) is Fault.UNAVAILABLE


@contextmanager
def relay(url: str) -> Iterator[str]:
    """The URL of a TCP port, behind which is the Unix socket of the test server."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    path = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(path)
                sockets.extend([client, server])
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    sockets: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        port = listener.getsockname()[1]
        yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
        listener.shutdown(socket.SHUT_RDWR)
    for each in sockets:
        each.close()


async def test_tcp_notices_a_host_that_is_gone(database_url: str) -> None:
    with relay(database_url) as url:
        settings = Settings(
            database_url=url,
            database_tcp_user_timeout=7,
            database_keepalives_idle=41,
        )
        async with Database(settings) as database, database.engine.connect() as connection:
{% if cookiecutter.engine == "async" %}
            raw = await connection.get_raw_connection()
            driver_connection: Any = raw.driver_connection
            number = driver_connection._transport.get_extra_info("socket").fileno()
{% else %}
            driver_connection: Any = connection.connection.driver_connection
            number = driver_connection.fileno()
{% endif %}
            connected = socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM)
            assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            for name, value in (
                ("TCP_USER_TIMEOUT", 7000),
                ("TCP_KEEPIDLE", 41),
                ("TCP_KEEPINTVL", 5),
                ("TCP_KEEPCNT", 3),
            ):
                option = getattr(socket, name)
                assert connected.getsockopt(socket.IPPROTO_TCP, option) == value
            connected.close()
{% endcall %}
