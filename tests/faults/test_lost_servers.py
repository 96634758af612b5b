"""A server that restarts, dies or freezes: bounded waits, 503, and recovery with no restart."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from sqlalchemy import column, func, insert, literal, select, table, text, update
from sqlalchemy.exc import SQLAlchemyError

from .conftest import (
    Connect,
    Project,
    Serve,
    administer,
    backends,
    checked_out,
    eventually,
    together,
)
from .http_load import Answer, count, load
from .servers import PostgreSQL, Relay

pytestmark = pytest.mark.slow

USER = {"name": "Ada", "email": "ada@example.com"}

# COMMIT is when a deferred trigger runs; this one ends the server's side of the connection.
DIE_AT_COMMIT = """
CREATE OR REPLACE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER die AFTER INSERT ON users
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die();
"""
DEFER_UNIQUE = """
ALTER TABLE users DROP CONSTRAINT uq_users_email;
ALTER TABLE users ADD CONSTRAINT uq_users_email UNIQUE (email) DEFERRABLE INITIALLY DEFERRED;
"""


UNITS = ["transaction", "read_only", "fetch", "fetched write"]
SLOW = select(func.pg_sleep(0.2).label("slept"))
ONE = select(literal(1).label("one"))
MOVE = update(table("accounts", column("amount"))).values(amount=1000).returning(literal(1))


def ask(database: Any, unit: str) -> None:
    """One unit of work of this kind, with one statement."""
    if unit == "fetch":
        assert database.fetch(ONE) == [{"one": 1}]
    elif unit == "fetched write":
        assert len(database.fetch(MOVE)) == 2
    else:
        with getattr(database, unit)() as session:
            assert session.scalar(ONE) == 1


# What a unit of work becomes when its connection is lost. A read by fetch() may be done again.
LOST: dict[str, set[str | None]] = {
    "transaction": {"UNAVAILABLE"},
    "read_only": {"UNAVAILABLE"},
    "fetch": {"UNAVAILABLE", None},
    "fetched write": {"OUTCOME_UNKNOWN"},
}


def fault_of_one(project: Project, database: Any, unit: str) -> str | None:
    try:
        ask(database, unit)
    except SQLAlchemyError as error:
        return project.fault_of(error) or repr(error)
    return None


@pytest.mark.parametrize("restarts", [1, pytest.param(3, marks=pytest.mark.long)])
@pytest.mark.parametrize("path", ["/users", "/slow-read?seconds=0.01", "/slow-write?seconds=0.01"])
def test_a_restart_under_load_costs_only_the_time_it_takes(
    server: PostgreSQL, serve: Serve, path: str, restarts: int
) -> None:
    """Nothing but 503 while it is down, nothing but 200 once it is ready."""
    service = serve()
    down: list[tuple[float, float]] = []

    def restart_repeatedly() -> None:
        eventually(lambda: backends(server))  # the clients have begun
        for _ in range(restarts):
            time.sleep(1.0)
            begun = time.monotonic()
            server.restart(down=0.5)
            down.append((begun, time.monotonic()))
        time.sleep(1.0)

    method = "POST" if "write" in path else "GET"
    with ThreadPoolExecutor(1) as threads:
        restarting = threads.submit(restart_repeatedly)
        seconds = 3.5 * restarts + 2.0
        answers = load(service.base_url + path, clients=20, seconds=seconds, method=method)
        restarting.result()

    def disturbed(answer: Answer) -> bool:
        return any(answer.begun <= end and answer.ended >= begin for begin, end in down)

    print(count(answers), [round(end - begin, 2) for begin, end in down])
    assert "Traceback" not in service.log(), service.log()[-5000:]
    costs = count([each for each in answers if disturbed(each)])
    assert {503} <= costs.keys() <= {200, 503}
    assert count([each for each in answers if not disturbed(each)]).keys() == {200}
    assert max(each.ended - each.begun for each in answers) < 6
    eventually(lambda: not backends(server, "state LIKE 'idle in transaction%'"))


def test_while_the_server_is_down_every_answer_is_503(server: PostgreSQL, serve: Serve) -> None:
    service = serve()
    with httpx2.Client(base_url=service.base_url) as client:
        assert client.get("/users").status_code == 200
        server.stop()
        try:
            for answer in (
                client.get("/users"),
                client.get("/users/1"),
                client.post("/users", json=USER),
                client.post("/fetched-users", json=USER),
                client.get("/readyz"),
            ):
                assert answer.status_code == 503
                assert answer.headers["retry-after"]
                assert answer.headers["content-type"] == "application/problem+json"
                assert not {"postgres", "select", "127.0.0.1"} & set(answer.text.lower().split())
            assert client.get("/livez").status_code == 200
        finally:
            server.start()
        assert client.get("/users").status_code == 200
        assert client.get("/readyz").status_code == 200
    assert "the database failed" in service.log()  # each 503 with its cause
    assert "Traceback" not in service.log()


def test_idle_connections_that_were_ended_are_replaced(
    server: PostgreSQL, connect: Connect
) -> None:
    """Every pooled connection is dead; no unit of work notices."""
    database = connect()
    ask = text("SELECT pg_sleep(0.2)")

    def read(_: int) -> None:
        with database.read_only() as session:
            session.execute(ask)

    def write(_: int) -> None:
        with database.transaction() as session:
            session.execute(ask)

    def fetch(_: int) -> None:
        database.fetch(SLOW)

    together(5, read)
    together(5, write)
    together(5, fetch)
    assert len(backends(server)) == 10
    for _ in range(3):
        server.restart()
        time.sleep(0.1)  # for the loop to hear of it
        together(5, fetch)
        together(5, read)
        together(5, write)
    with administer(server) as connection:
        for pid in backends(server):
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])
    time.sleep(0.1)
    together(5, fetch)
    together(5, read)
    together(5, write)


def test_a_backend_that_dies_takes_only_its_own_unit(
    project: Project, server: PostgreSQL, connect: Connect
) -> None:
    database = connect()

    def update_and_die() -> None:
        with database.transaction() as session:
            pid = session.scalar(text("SELECT pg_backend_pid()"))
            session.execute(text("UPDATE accounts SET amount = 0"))
            with administer(server) as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])
            eventually(lambda: pid not in backends(server))
            session.execute(text("SELECT 1"))

    with pytest.raises(SQLAlchemyError) as caught:
        update_and_die()
    assert project.fault_of(caught.value) == "UNAVAILABLE"
    with database.read_only() as session:
        assert session.scalar(text("SELECT sum(amount) FROM accounts")) == 2000
    assert checked_out(database) == 0


def test_a_session_ended_for_idling_is_unavailable(
    project: Project, server: PostgreSQL, connect: Connect
) -> None:
    database = connect(idle_in_transaction_timeout=0.2)

    def idle() -> None:
        with database.transaction() as session:
            session.execute(text("SELECT 1"))
            time.sleep(0.6)
            session.execute(text("SELECT 1"))

    with pytest.raises(SQLAlchemyError) as caught:
        idle()
    assert project.fault_of(caught.value) == "UNAVAILABLE"
    assert checked_out(database) == 0


@pytest.mark.parametrize("path", ["/users", "/fetched-users"])
def test_a_connection_lost_during_commit_is_not_answered_200(
    server: PostgreSQL, serve: Serve, path: str
) -> None:
    service = serve()
    with administer(server) as connection:
        connection.execute(DIE_AT_COMMIT)
        try:
            answer = httpx2.post(service.base_url + path, json=USER)
        finally:
            connection.execute("DROP TRIGGER die ON users")
        assert answer.status_code == 503
        assert "retry-after" not in answer.headers
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
    # Whether a lost COMMIT took effect cannot be known; the unique key makes it safe to repeat.
    assert httpx2.post(service.base_url + path, json=USER).status_code == 201


@pytest.mark.parametrize("path", ["/users", "/fetched-users"])
def test_a_violation_found_at_commit_is_a_conflict(
    server: PostgreSQL, serve: Serve, path: str
) -> None:
    """The commit precedes the response: with a deferred constraint it is where the unit fails."""
    service = serve()
    with administer(server) as connection:
        connection.execute(DEFER_UNIQUE)
        try:
            # More often than it takes fetch() to plan the statement.
            answers = [httpx2.post(service.base_url + path, json=USER) for _ in range(5)]
        finally:
            connection.execute(DEFER_UNIQUE.replace(" DEFERRABLE INITIALLY DEFERRED", ""))
    assert [answer.status_code for answer in answers] == [201, 409, 409, 409, 409]
    for answer in answers[1:]:
        assert answer.json()["detail"] == "A user with this e-mail address exists."


@pytest.mark.parametrize("unit", UNITS)
def test_a_statement_on_a_frozen_server_ends(
    project: Project,
    server: PostgreSQL,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    unit: str,
) -> None:
    """statement_timeout cannot help: who would enforce it does not run."""
    assert project.driver.RESPONSE_MARGIN == 5.0
    monkeypatch.setattr(project.driver, "RESPONSE_MARGIN", 0.5)
    database = connect(statement_timeout=0.5, connect_timeout=1.0)
    for _ in range(3):
        ask(database, unit)
    with server.frozen(*backends(server)):
        begun = time.monotonic()
        fault = fault_of_one(project, database, unit)
        assert time.monotonic() - begun < 5
    assert fault in LOST[unit]
    ask(database, unit)
    assert checked_out(database) == 0


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"connect_timeout": 1.0, "tcp_user_timeout": 1.0}, 6.0),
        pytest.param({}, 20.0, marks=pytest.mark.long),
    ],
    ids=["short", "default"],
)
def test_a_lost_host_is_given_up_for_the_next_one(
    project: Project,
    server: PostgreSQL,
    relay: Relay,
    connect: Connect,
    unit: str,
    settings: dict[str, float],
    limit: float,
) -> None:
    """No packet comes back, not even a refusal: after tcp_user_timeout the kernel says so."""
    hosts = f"127.0.0.1:{relay.port},127.0.0.1:{server.port}"
    database = connect(server.url().replace(f"127.0.0.1:{server.port}", hosts), **settings)
    for _ in range(3):
        ask(database, unit)
    relay.lose()
    begun = time.monotonic()
    assert fault_of_one(project, database, unit) in LOST[unit]
    ask(database, unit)
    print(project.engine, unit, round(time.monotonic() - begun, 1), "s")
    assert time.monotonic() - begun < limit
    assert checked_out(database) == 0


def test_an_idle_connection_to_a_frozen_server_is_given_up(
    project: Project,
    server: PostgreSQL,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a failover behind the same address: nothing says that the connection is dead."""
    monkeypatch.setattr(project.module("database.engine"), "PING_AFTER_IDLE", 0.0)
    database = connect(connect_timeout=1.0)
    for unit in UNITS:
        for _ in range(3):
            ask(database, unit)
        with server.frozen(*backends(server)):
            begun = time.monotonic()
            ask(database, unit)
            assert time.monotonic() - begun < 5
    assert checked_out(database) == 0


def test_a_frozen_server_does_not_hold_up_the_end(
    server: PostgreSQL, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Orchestrators kill what has not ended 30 s after its SIGTERM."""
    database = connect(pool_size=20)

    def use(number: int) -> None:
        unit = database.transaction if number % 2 else database.read_only
        with unit() as session:
            session.execute(text("SELECT pg_sleep(0.3)"))

    together(40, use)
    database.ping()
    idle = backends(server)
    assert len(idle) == 41
    with server.frozen(*idle):
        begun = time.monotonic()
        database.dispose()
        assert time.monotonic() - begun < 5
    assert not [record for record in caplog.records if record.exc_info]
    eventually(lambda: not backends(server))
    with database.read_only() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_service_ends_soon_though_the_server_is_silent(server: PostgreSQL, serve: Serve) -> None:
    service = serve()
    load(service.base_url + "/slow-write", clients=20, seconds=1.0, method="POST")
    load(service.base_url + "/slow-read", clients=20, seconds=1.0)
    with server.frozen(*backends(server)):
        begun = time.monotonic()
        service.stop()  # by SIGTERM
        assert time.monotonic() - begun < 10
    assert "Application shutdown complete" in service.log()
    assert "Traceback" not in service.log()


def test_probes_of_a_frozen_server_are_bounded_and_recover(
    server: PostgreSQL, serve: Serve
) -> None:
    service = serve()
    with httpx2.Client(base_url=service.base_url) as client:
        assert client.get("/readyz").status_code == 200
        with server.frozen(server.postmaster, *backends(server)):
            for _ in range(3):
                begun = time.monotonic()
                assert client.get("/readyz").status_code == 503
                assert time.monotonic() - begun < 2
                assert client.get("/livez").status_code == 200
        eventually(lambda: client.get("/readyz").status_code == 200)


def test_an_idle_connection_that_works_is_kept(
    project: Project,
    server: PostgreSQL,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(project.module("database.engine"), "PING_AFTER_IDLE", 0.0)
    database = connect()
    for unit in UNITS:
        for _ in range(3):
            ask(database, unit)
    kept = backends(server)
    assert len(kept) == 2
    for unit in UNITS * 3:
        ask(database, unit)
    assert backends(server) == kept


@pytest.mark.parametrize("is_fetched", [False, True], ids=["transaction", "fetch"])
def test_a_write_is_done_at_most_once_though_backends_die(
    project: Project, server: PostgreSQL, connect: Connect, is_fetched: bool
) -> None:
    """Done if it succeeded, not done if it was unavailable; and never twice."""
    database = connect()
    users = table("users", column("name"), column("email"))
    add = insert(users)
    results: dict[str, str | None] = {}
    ended = threading.Event()

    def write(client: int) -> None:
        number = 0
        while not ended.is_set():
            number += 1
            email = f"{client}.{number}@example.com"
            try:
                if is_fetched:
                    database.fetch(add, {"name": "Ada", "email": email})
                else:
                    with database.transaction() as session:
                        session.execute(add, {"name": "Ada", "email": email})
                results[email] = "DONE"
            except SQLAlchemyError as error:
                results[email] = project.fault_of(error)

    def kill(client: int) -> None:
        if client:
            return write(client)
        try:
            with administer(server) as connection:
                for _ in range(40):
                    time.sleep(0.05)
                    for pid in backends(server, "query LIKE 'INSERT%'")[:3]:
                        connection.execute("SELECT pg_terminate_backend(%s)", [pid])
        finally:
            ended.set()

    together(5, kill)
    counts = Counter(results.values())
    print(project.engine, counts)
    assert counts.keys() <= {"DONE", "UNAVAILABLE", "OUTCOME_UNKNOWN"}
    assert counts["DONE"] > 100
    with administer(server) as connection:
        stored = {email for (email,) in connection.execute("SELECT email FROM users")}
    assert {email for email, result in results.items() if result == "DONE"} <= stored
    assert not {email for email, result in results.items() if result == "UNAVAILABLE"} & stored


@pytest.mark.parametrize("is_fetched", [False, True], ids=["transaction", "fetch"])
def test_a_commit_that_waits_for_a_standby_is_of_unknown_outcome(
    project: Project, server: PostgreSQL, connect: Connect, is_fetched: bool
) -> None:
    """It has taken effect, though the connection is lost before the answer."""
    database = connect()
    add = insert(table("users", column("name"), column("email")))

    def write(email: str) -> None:
        if is_fetched:
            database.fetch(add, {"name": "Ada", "email": email})
        else:
            with database.transaction() as session:
                session.execute(add, {"name": "Ada", "email": email})

    def run(number: int) -> str | None:
        if number:
            eventually(lambda: backends(server, "wait_event = 'SyncRep'"))
            with administer(server) as connection:
                for pid in backends(server, "wait_event = 'SyncRep'"):
                    connection.execute("SELECT pg_terminate_backend(%s)", [pid])
            return None
        with pytest.raises(SQLAlchemyError) as caught:
            write("last@example.com")
        return project.fault_of(caught.value)

    for number in range(3):
        write(f"{number}@example.com")
    with administer(server) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            time.sleep(0.3)
            assert together(2, run)[0] == "OUTCOME_UNKNOWN"
        finally:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")
        query = "SELECT count(*) FROM users WHERE email = 'last@example.com'"
        assert connection.execute(query).fetchone() == (1,)
