"""Connections get the password of the moment, and the listeners of the owner are called."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import OperationalError

from {{ cookiecutter.project_slug }}.database import Database, Fault, fault_of
from {{ cookiecutter.project_slug }}.settings import Settings


def record_passwords(database: Database, password: str | None) -> list[str]:
    """Return the list of passwords that will be used; the server gets the one that it knows."""
    used: list[str] = []

    def provide(_dialect: Any, _record: Any, _args: Any, arguments: dict[str, Any]) -> None:
        used.append(arguments.get("password", ""))
        arguments["password"] = password or ""

    for engine in database.engines:
        event.listen(engine.sync_engine, "do_connect", provide)
    return used


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
) -> None:
    password = make_url(database_url).password
    url = make_url(database_url)._replace(password=None)
    path = tmp_path / "password"
    path.write_text("first\n")
    settings = Settings(
        database_url=url,
        database_replica_url=url,
        database_password_file=path,
    )
    async with Database(settings) as database:
        used = record_passwords(database, password)
        await use_every_engine(database)
        assert used == ["first"] * 4
        path.write_text("second")
        await use_every_engine(database)  # on the connections that are open
        assert len(used) == 4
        await database.dispose()
        await use_every_engine(database)
        assert used[4:] == ["second"] * 4


@pytest.mark.parametrize("content", [None, b"\xff"])
async def test_a_password_that_cannot_be_read_is_a_failure_to_connect(
    database_url: str,
    tmp_path: Path,
    content: bytes | None,
) -> None:
    path = tmp_path / "password"
    path.touch()
    url = make_url(database_url)._replace(password=None)
    async with Database(Settings(database_url=url, database_password_file=path)) as database:
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        with pytest.raises(OperationalError, match=f"cannot read {path}") as failure:
            async with database.read_only() as session:
                await session.execute(text("SELECT 1"))
    assert fault_of(failure.value) is Fault.UNAVAILABLE


async def test_a_password_in_the_url_is_used(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("other")
    url = make_url(database_url).set(password=make_url(database_url).password or "own")
    async with Database(Settings(database_url=url, database_password_file=path)) as database:
        used = record_passwords(database, url.password)
        await database.ping()
    assert used == [url.password]


async def test_a_listener_may_connect_itself(database_url: str) -> None:
    connected: list[str] = []

    def connect(dialect: Any, _record: Any, args: Any, arguments: Any) -> Any:
        connected.append("here")
        return dialect.loaded_dbapi.connect(*args, **arguments)

    async with Database(Settings(database_url=database_url)) as database:
        for engine in database.engines:
            event.listen(engine.sync_engine, "do_connect", connect)
        await use_every_engine(database)
    assert connected == ["here"] * 3
{% endcall %}
