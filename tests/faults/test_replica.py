"""A streaming replica: stale reads go there, and come back while it is away."""

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from .conftest import Connect, Project, backends, checked_out, eventually, together
from .servers import PostgreSQL

pytestmark = pytest.mark.slow

ON_REPLICA = text("SELECT pg_is_in_recovery()")
FETCHED = select(func.pg_is_in_recovery().label("found"))


def stale(database: Any) -> Any:
    with database.read_only(stale_ok=True) as session:
        return session.scalar(ON_REPLICA)


def fetched(database: Any) -> Any:
    [row] = database.fetch(FETCHED, stale_ok=True)
    return row["found"]


def fresh(database: Any) -> Any:
    with database.read_only() as session:
        return session.scalar(ON_REPLICA)


Read = Callable[[Any], Any]
READS = pytest.mark.parametrize("read", [stale, fetched])


@pytest.fixture
def database(
    connect: Connect,
    replica: PostgreSQL,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    monkeypatch.setattr(project.module("database.database"), "REPLICA_PAUSE", 0.3)
    return connect(replica_url=replica.url(), connect_timeout=1.0)


def test_stale_reads_go_to_the_replica(
    database: Any, server: PostgreSQL, replica: PostgreSQL
) -> None:
    assert (stale(database), fresh(database)) == (True, False)
    with database.transaction() as session:
        assert session.scalar(ON_REPLICA) is False
        session.execute(text("UPDATE accounts SET amount = 7"))

    def arrived() -> Any:
        with database.read_only(stale_ok=True, snapshot=True) as session:
            assert session.scalar(ON_REPLICA) is True
            return session.scalar(text("SELECT sum(amount) FROM accounts")) == 14

    eventually(arrived)
    with (
        pytest.raises(SQLAlchemyError, match="read-only"),
        database.read_only(stale_ok=True) as session,
    ):
        session.execute(text("UPDATE accounts SET amount = 8"))


@READS
def test_without_the_replica_the_primary_answers(
    database: Any, replica: PostgreSQL, read: Read
) -> None:
    """Also when it ends while connections to it are pooled; when it is back, it is used again."""
    assert read(database) is True  # while one connects, the others read from the primary
    assert together(5, lambda _: read(database)) == [True] * 5
    replica.stop()
    for _ in range(3):
        assert together(5, lambda _: read(database)) == [False] * 5
        assert fresh(database) is False
        time.sleep(0.3)
    replica.start()
    time.sleep(0.4)
    assert read(database) is True
    assert together(5, lambda _: read(database)) == [True] * 5
    assert checked_out(database) == 0


@READS
def test_a_frozen_replica_holds_nobody_up_for_long(
    database: Any, replica: PostgreSQL, read: Read
) -> None:
    assert read(database) is True
    time.sleep(0.2)  # an idle connection is taken to work for a tenth of a second
    with replica.frozen(replica.postmaster, *backends(replica)):
        begun = time.monotonic()
        assert together(5, lambda _: read(database)) == [False] * 5
        assert time.monotonic() - begun < 8
    time.sleep(0.4)
    assert read(database) is True


@pytest.mark.parametrize("used_before", [False, True])
def test_one_read_at_a_time_tries_a_replica_that_is_lost(
    project: Project, server: PostgreSQL, replica: PostgreSQL, connect: Connect, used_before: bool
) -> None:
    """The others are answered by the primary without much delay, if it was lost before.

    If it was in use until then, each asks it once, and tries to connect once.
    """
    database = connect(replica_url=replica.url(), connect_timeout=2.0, pool_timeout=1.0)
    if used_before:
        assert stale(database) is True
        time.sleep(0.2)

    def read(_: int) -> float:
        begun = time.monotonic()
        assert stale(database) is False
        return time.monotonic() - begun

    with replica.frozen(replica.postmaster, *backends(replica)):
        waits = sorted(together(30, read))
        assert waits[-1 if used_before else -2] < (6.5 if used_before else 1.5), waits
        assert max(together(30, read)) < 1.0  # nobody tries for some time
    assert checked_out(database) == 0


def test_a_replica_that_is_too_busy_leaves_reads_to_the_primary(
    replica: PostgreSQL, connect: Connect
) -> None:
    """The pool's TimeoutError is no answer to a read that the primary can do."""
    database = connect(replica_url=replica.url(), pool_size=1, pool_timeout=0.1)
    with database.read_only(stale_ok=True) as session:
        assert session.scalar(ON_REPLICA) is True
        assert stale(database) is False


@pytest.mark.parametrize(
    "refusal",
    [
        "REVOKE CONNECT ON DATABASE gated FROM public",
        "ALTER DATABASE gated ALLOW_CONNECTIONS false",
    ],
)
def test_a_replica_that_refuses_connections_leaves_reads_to_the_primary(
    server: PostgreSQL, gate: psycopg.Connection[Any], connect: Connect, refusal: str
) -> None:
    """42501 and 55000."""
    gate.execute(refusal)
    gated = server.url(user="guest", password="guest").replace("/service", "/gated")
    name = text("SELECT current_database()")
    with connect(replica_url=gated).read_only(stale_ok=True) as session:
        assert session.scalar(name) == "service"


def test_a_standby_is_not_written_to(
    project: Project, server: PostgreSQL, replica: PostgreSQL, connect: Connect
) -> None:
    """With both hosts in the URL, in either order, writes go to the primary; without it, 503."""
    hosts = f"127.0.0.1:{replica.port},127.0.0.1:{server.port}"
    url = server.url(query="?target_session_attrs=read-write")
    both = url.replace(f"127.0.0.1:{server.port}", hosts)
    with connect(both).transaction() as session:
        assert session.scalar(ON_REPLICA) is False
    database = connect(replica.url(query="?target_session_attrs=read-write"))
    with pytest.raises(SQLAlchemyError) as caught, database.transaction() as session:
        session.execute(text("SELECT 1"))
    assert project.fault_of(caught.value) == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("attribute", "in_recovery"),
    [
        ("primary", False),
        ("read-write", False),
        ("standby", True),
        ("prefer-standby", True),
        ("read-only", True),
    ],
)
def test_every_engine_connects_to_the_kind_of_server_that_the_url_asks_for(
    server: PostgreSQL, replica: PostgreSQL, connect: Connect, attribute: str, in_recovery: bool
) -> None:
    """Also if the other kind of server comes first in the URL."""
    first, second = (server, replica) if in_recovery else (replica, server)
    hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
    url = server.url(query=f"?target_session_attrs={attribute}")
    url = url.replace(f"127.0.0.1:{server.port}", hosts)
    database = connect(url, replica_url=url)
    with database.transaction() as session:
        assert session.scalar(ON_REPLICA) is in_recovery
    assert (fresh(database), stale(database)) == (in_recovery, in_recovery)
    database.ping()


def test_connections_spread_over_several_hosts_only_if_the_url_asks_for_it(
    project: Project, server: PostgreSQL, replica: PostgreSQL, connect: Connect
) -> None:
    hosts = f"127.0.0.1:{replica.port},127.0.0.1:{server.port}"

    def servers_of(query: str) -> set[bool]:
        url = server.url(query=query).replace(f"127.0.0.1:{server.port}", hosts)
        database = connect(url, pool_size=1, max_overflow=19)

        def read(_: int) -> Any:
            with database.read_only() as session:
                session.execute(text("SELECT pg_sleep(0.2)"))
                return session.scalar(ON_REPLICA)

        return set(together(20, read))

    assert servers_of("") == {True}
    if project.engine == "sync":
        assert servers_of("?load_balance_hosts=random") == {True, False}
    else:
        with pytest.raises(ValueError, match="load_balance_hosts"):
            servers_of("?load_balance_hosts=random")


@pytest.mark.parametrize("attribute", ["standby", "read-only"])
def test_a_primary_is_not_taken_for_a_replica(
    server: PostgreSQL, project: Project, connect: Connect, attribute: str
) -> None:
    database = connect(replica_url=server.url(query=f"?target_session_attrs={attribute}"))
    assert stale(database) is False  # from the primary, of which there is a warning
    alone = connect(server.url(query=f"?target_session_attrs={attribute}"))
    with pytest.raises(SQLAlchemyError) as caught:
        fresh(alone)
    assert project.fault_of(caught.value) == "UNAVAILABLE"


@pytest.mark.parametrize("attribute", ["read-write", "primary", "prefer-standby", "any"])
def test_a_healthy_primary_alone_answers_reads(
    server: PostgreSQL, connect: Connect, attribute: str
) -> None:
    database = connect(server.url(query=f"?target_session_attrs={attribute}"))
    assert fresh(database) is False
    database.ping()


def test_a_replica_that_dies_under_load_is_read_round(
    database: Any, server: PostgreSQL, replica: PostgreSQL
) -> None:
    """fetch() never fails; a session that is open at that moment may."""
    ended = threading.Event()

    def read(number: int) -> int:
        if number == 5:
            time.sleep(0.5)
            replica.restart()
            time.sleep(1.0)
            ended.set()
            return 0
        count = 0
        while not ended.is_set():
            assert len(database.fetch(FETCHED, stale_ok=True)) == 1
            count += 1
        return count

    assert min(together(6, read)[:5]) > 10
    eventually(lambda: stale(database))
    assert checked_out(database) == 0


def test_stale_reads_are_fair(project: Project, replica: PostgreSQL, connect: Connect) -> None:
    """As fresh ones are: nobody overtakes on the way to the replica."""
    database = connect(replica_url=replica.url(), pool_size=2, max_overflow=0)
    slow = select(func.pg_sleep(0.005).label("slept"))
    until = time.monotonic() + 2.5

    def read(_: int) -> list[float]:
        waits = []
        while (begun := time.monotonic()) < until:
            database.fetch(slow, stale_ok=True)
            waits.append(time.monotonic() - begun)
        return waits

    found = together(40, read)
    waits = sorted(wait for each in found for wait in each)
    print(project.engine, waits[len(waits) // 2], waits[-1], sorted(map(len, found)))
    assert waits[-1] < 12 * waits[len(waits) // 2]
