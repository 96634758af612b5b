"""Through a PgBouncer in transaction mode, as Debian's package has it."""

import configparser
import contextlib
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import Integer, bindparam, column, func, insert, literal, select, table, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from .conftest import Connect, Project, administer, eventually, together
from .servers import PgBouncer, PostgreSQL

pytestmark = pytest.mark.slow

MOVE = text("UPDATE accounts SET amount = amount + :amount WHERE id = :id")
IN_FORCE = text(
    "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
    " current_setting('idle_in_transaction_session_timeout'), current_setting('jit'),"
    " current_setting('timezone'), current_setting('application_name')",
)

USERS = table("users", column("id"), column("name"), column("email"))
ANY_ID = bindparam("any_id", type_=Integer)


@pytest.fixture
def database(connect: Connect, pgbouncer: PgBouncer) -> Any:
    return connect(pgbouncer.url(), pgbouncer=True)


def test_500_transactions_from_50_clients(
    project: Project, server: PostgreSQL, pgbouncer: PgBouncer, connect: Connect
) -> None:
    """No error, and no prepared statement left on the server's connections."""
    database = connect(pgbouncer.url(), pgbouncer=True, pool_size=50)
    totals = select(func.count().label("number")).select_from(USERS).where(USERS.c.id > ANY_ID)
    add = insert(USERS).returning(USERS.c.email)

    def work(client: int) -> None:
        for number in range(10):
            with database.transaction() as session:
                user = {"name": "Ada", "email": f"{client}.{number}@example.com"}
                session.execute(insert(USERS), user)
                session.execute(MOVE, {"id": 1 + client % 2, "amount": 1})
            with database.read_only() as session:
                assert session.scalar(
                    text("SELECT count(*) > 0 FROM users WHERE id > :id"), {"id": 0}
                )
            email = f"fetched.{client}.{number}@example.com"
            assert database.fetch(add, {"name": "Ada", "email": email}) == [{"email": email}]
            [found] = database.fetch(totals, {"any_id": client})
            assert found["number"] > 0 or client

    together(50, work)
    with administer(server) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (1000,)
        assert connection.execute("SELECT sum(amount) FROM accounts").fetchone() == (2500,)
    # Each of the pooler's connections in turn: they are held together, so that none is seen twice.
    seen = set()
    with psycopg.connect(pgbouncer.url(), prepare_threshold=None) as first:
        connections = [first] + [
            psycopg.connect(pgbouncer.url(), prepare_threshold=None) for _ in range(4)
        ]
        for connection in connections:
            query = "SELECT pg_backend_pid(), (SELECT count(*) FROM pg_prepared_statements)"
            [(pid, left)] = connection.execute(query)
            assert left == 0
            seen.add(pid)
        for connection in connections[1:]:
            connection.close()
    assert len(seen) == 5


def test_writes_while_reading_are_refused(
    project: Project, server: PostgreSQL, database: Any
) -> None:
    """Also after a commit() inside, and as plain SQL; the connection is not left read-only."""

    def write(*, snapshot: bool, commit_before: bool) -> None:
        with database.read_only(snapshot=snapshot) as session:
            session.execute(text("SELECT 1"))
            if commit_before:
                session.commit()
            session.execute(text("UPDATE accounts SET amount = 0"))

    for snapshot in (False, True):
        for commit_before in (False, True):
            with pytest.raises(DBAPIError) as caught:
                write(snapshot=snapshot, commit_before=commit_before)
            assert project.module("database.faults").sqlstate_of(caught.value) == "25006"
            assert project.fault_of(caught.value) is None
            with database.transaction() as session:
                session.execute(MOVE, {"id": 1, "amount": 0})
    accounts = table("accounts", column("amount"))
    delete = accounts.delete().returning(accounts.c.amount).cte()
    for _ in range(4):
        with pytest.raises(DBAPIError) as caught:
            database.fetch(select(delete.c.amount))
        assert project.module("database.faults").sqlstate_of(caught.value) == "25006"
    with administer(server) as connection:
        assert connection.execute("SELECT sum(amount) FROM accounts").fetchone() == (2000,)


def test_without_the_setting_the_error_names_it(
    project: Project, pgbouncer: PgBouncer, connect: Connect
) -> None:
    """A pooler refuses parameters of the session that it does not know."""
    database = connect(pgbouncer.url())
    for use in (database.ping, lambda: database.fetch(select(ANY_ID), {"any_id": 1})):
        with pytest.raises(SQLAlchemyError, match="DATABASE_PGBOUNCER=true") as caught:
            use()
        assert project.fault_of(caught.value) == "UNAVAILABLE"


def test_fetch_gives_each_client_its_own_answers(pgbouncer: PgBouncer, connect: Connect) -> None:
    """More clients than the pooler has connections, with statements that differ."""
    database = connect(pgbouncer.url(), pgbouncer=True, pool_size=20)
    statements = [
        select(ANY_ID.label("number"), literal(each).label("other")) for each in range(20)
    ]

    def work(client: int) -> None:
        for number in range(50):
            [row] = database.fetch(statements[client], {"any_id": number})
            assert row == {"number": number, "other": client}

    together(20, work)


def test_timeouts_are_in_force(
    project: Project, server: PostgreSQL, pgbouncer: PgBouncer, connect: Connect
) -> None:
    """In every unit and in the probe; and they do not stay behind for other clients."""
    database = connect(pgbouncer.url(), pgbouncer=True, statement_timeout=0.3, lock_timeout=0.2)
    for unit in (database.transaction, database.read_only):
        for _ in range(2):
            with unit() as session:
                found = tuple(session.execute(IN_FORCE).one())
                assert found == ("300ms", "200ms", "1min", "off", "UTC", project.path.name)
        with pytest.raises(SQLAlchemyError) as caught, unit() as session:
            session.execute(text("SELECT pg_sleep(5)"))
        assert project.fault_of(caught.value) == "TIMED_OUT"
    with administer(server) as connection:
        connection.execute("BEGIN; LOCK accounts")
        with pytest.raises(SQLAlchemyError) as caught, database.transaction() as session:
            session.execute(MOVE, {"id": 1, "amount": 0})
        assert project.fault_of(caught.value) == "UNAVAILABLE"
        connection.execute("ROLLBACK")
    database.ping()
    with psycopg.connect(pgbouncer.url()) as other:
        assert other.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_isolation_levels_are_kept(database: Any) -> None:
    level = text("SELECT current_setting('transaction_isolation')")
    with database.transaction(isolation_level="SERIALIZABLE") as session:
        assert session.scalar(level) == "serializable"
    with database.read_only(snapshot=True) as session:
        assert session.scalar(level) == "repeatable read"
    with database.transaction() as session:
        assert session.scalar(level) == "read committed"


def test_a_restarted_pooler_is_connected_to_again(
    project: Project, server: PostgreSQL, database: Any, pgbouncer: PgBouncer
) -> None:
    def work(_: int) -> None:
        with database.transaction() as session:
            session.execute(text("SELECT pg_sleep(0.05)"))

    together(5, work)
    pgbouncer.stop()
    with pytest.raises(SQLAlchemyError) as caught:
        work(0)
    assert project.fault_of(caught.value) == "UNAVAILABLE"
    pgbouncer.start()
    together(5, work)


def test_a_pooler_before_a_server_that_is_down_is_unavailable(
    project: Project, server: PostgreSQL, database: Any, pgbouncer: PgBouncer
) -> None:
    server.stop()
    try:
        with pytest.raises(SQLAlchemyError) as caught, database.transaction() as session:
            session.execute(text("SELECT 1"))
        assert project.fault_of(caught.value) == "UNAVAILABLE"
    finally:
        server.start()


@pytest.fixture(params=["transaction", "session"])
def documented(
    project: Project, server: PostgreSQL, request: pytest.FixtureRequest
) -> Iterator[PgBouncer]:
    """PgBouncer with the settings of the project's documents, in both modes."""
    if PgBouncer.binary() is None:
        pytest.skip("needs PgBouncer: apt-get install pgbouncer")
    document = "".join(page.read_text() for page in (project.path / "docs").glob("*.md"))
    [block] = re.findall(r"`pgbouncer\.ini`\n\n```ini\n(.*?)```", document, re.DOTALL)
    ini = configparser.ConfigParser()
    ini.read_string(block)
    local = {"listen_addr", "listen_port", "auth_file"}
    settings = {name: value for name, value in ini["pgbouncer"].items() if name not in local}
    pooler = PgBouncer(server, **settings | {"pool_mode": request.param})
    pooler.start()
    yield pooler
    pooler.close()


def test_with_the_documented_settings_a_restart_of_the_server_costs_little_more_than_it_takes(
    project: Project, server: PostgreSQL, documented: PgBouncer, connect: Connect
) -> None:
    database = connect(documented.url(), pgbouncer=True)

    def work(_: int) -> None:
        with database.read_only() as session:
            assert session.scalar(text("SHOW transaction_read_only")) == "on"
        with database.transaction() as session:
            assert session.scalar(text("SHOW statement_timeout")) == "30s"
            session.execute(MOVE, {"id": 1, "amount": 0})

    def works() -> bool:
        with contextlib.suppress(SQLAlchemyError):
            work(0)
            return True
        return False

    def start_again() -> None:
        time.sleep(1.0)
        server.start()

    together(5, work)
    server.stop()
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(start_again)
        eventually(works)
        print(documented.settings["pool_mode"], round(time.monotonic() - begun, 1), "s")
        assert time.monotonic() - begun < 5
        starting.result()
    together(5, work)


@pytest.mark.parametrize("documented", ["transaction"], indirect=True)
def test_with_the_documented_settings_nobody_waits_long_for_a_server_that_is_down(
    project: Project, server: PostgreSQL, documented: PgBouncer, connect: Connect
) -> None:
    database = connect(documented.url(), pgbouncer=True)
    with database.read_only() as session:
        session.execute(text("SELECT 1"))
    server.stop()
    try:
        begun = time.monotonic()
        with pytest.raises(SQLAlchemyError) as caught, database.read_only() as session:
            session.execute(text("SELECT 1"))
        assert time.monotonic() - begun < 10
        assert project.fault_of(caught.value) == "UNAVAILABLE"
    finally:
        server.start()


def test_idle_connections_are_asked_through_the_pooler(
    project: Project,
    pgbouncer: PgBouncer,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While each statement outside a transaction may go to another of the server's connections."""
    monkeypatch.setattr(project.module("database.engine"), "PING_AFTER_IDLE", 0.0)
    database = connect(pgbouncer.url(), pgbouncer=True)

    def work(_: int) -> None:
        for _ in range(10):
            with database.transaction() as session:
                session.execute(MOVE, {"id": 1, "amount": 0})

    together(10, work)
