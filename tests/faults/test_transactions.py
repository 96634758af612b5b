"""Units of work that contend: done by run(), whole, each attempt in a session of its own."""

import itertools
import threading
import time
from collections import Counter
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from .conftest import Connect, Project, Serve, administer, checked_out, together
from .servers import PostgreSQL

pytestmark = pytest.mark.slow

READ = text("SELECT amount FROM accounts WHERE id = :id")
WRITE = text("UPDATE accounts SET amount = :amount WHERE id = :id")


@pytest.mark.parametrize("times", [3, pytest.param(50, marks=pytest.mark.long)])
def test_20_serializable_transfers_at_once_are_all_done(
    project: Project, server: PostgreSQL, connect: Connect, times: int
) -> None:
    """Between two accounts, with the default attempts."""
    database = connect()
    attempts: Counter[int] = Counter()

    def transfer(number: int) -> int:
        tries = 0
        source, target = (1, 2) if number % 2 else (2, 1)

        def work(session: Any) -> None:
            nonlocal tries
            tries += 1
            # In the order of their keys: to lock them crosswise is the other test.
            for account, change in sorted([(source, -number), (target, number)]):
                amount = session.scalar(READ, {"id": account})
                session.execute(WRITE, {"id": account, "amount": amount + change})

        database.run(work, isolation_level="SERIALIZABLE")
        return tries

    for _ in range(times):
        attempts.update(together(20, transfer))
    print(f"attempts: {sorted(attempts.items())}")
    with administer(server) as connection:
        amounts = connection.execute("SELECT amount FROM accounts ORDER BY id").fetchall()
    # Odd numbers sum up to 100, even ones to 90: account 2 gains 10 each time.
    assert amounts == [(1000 - 10 * times,), (1000 + 10 * times,)]
    assert attempts.total() == 20 * times
    assert max(attempts) > 1
    assert checked_out(database) == 0


def test_a_deadlock_is_repeated_in_a_new_session(
    project: Project, server: PostgreSQL, connect: Connect
) -> None:
    database = connect(lock_timeout=10.0)
    both_locked = threading.Barrier(2)
    sessions: list[object] = []

    def cross(number: int) -> int:
        tries = 0

        def work(session: Any) -> None:
            nonlocal tries
            tries += 1
            sessions.append(session)
            first, second = (1, 2) if number else (2, 1)
            session.execute(WRITE, {"id": first, "amount": number})
            if tries == 1:
                both_locked.wait(20)
            session.execute(WRITE, {"id": second, "amount": number})

        database.run(work)
        return tries

    assert sorted(together(2, cross)) == [1, 2]
    assert len(set(map(id, sessions))) == 3


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_what_always_fails_is_tried_ten_times(
    project: Project, connect: Connect, sqlstate: str
) -> None:
    database = connect()
    begun: list[float] = []

    def work(session: Any) -> None:
        begun.append(time.monotonic())
        session.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$"))

    with pytest.raises(DBAPIError) as caught:
        database.run(work)
    assert project.fault_of(caught.value) == "UNAVAILABLE"
    assert len(begun) == 10
    # With jitter: no pause is the same as another.
    pauses = [later - earlier for earlier, later in itertools.pairwise(begun)]
    assert len({round(pause, 4) for pause in pauses}) > 5
    assert max(pauses) < 2


def test_a_lost_connection_is_not_repeated(
    project: Project, server: PostgreSQL, connect: Connect
) -> None:
    """Its COMMIT may have taken effect: only the caller knows whether to do it again."""
    database = connect()
    tries = 0

    def work(session: Any) -> None:
        nonlocal tries
        tries += 1
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DBAPIError) as caught:
        database.run(work)
    assert tries == 1
    assert project.fault_of(caught.value) == "UNAVAILABLE"


def test_of_changes_at_once_to_one_version_one_wins(server: PostgreSQL, serve: Serve) -> None:
    service = serve()
    with administer(server) as connection:
        connection.execute("INSERT INTO notes VALUES (1, 1, 'Notes')")
        with httpx2.Client(base_url=service.base_url) as client:

            def change(number: int) -> int:
                query = f"version=1&title={number}"
                return client.patch(f"/notes/1?{query}").status_code

            # As many as there are connections: they all read version 1 before one writes.
            assert Counter(together(5, change)) == {200: 1, 409: 4}
        assert connection.execute("SELECT version FROM notes").fetchone() == (2,)


def test_what_takes_too_long_is_504_and_what_is_locked_503(
    server: PostgreSQL, serve: Serve
) -> None:
    service = serve(statement_timeout="0.5", lock_timeout="0.2")
    with httpx2.Client(base_url=service.base_url) as client:
        for method, slow in (("GET", "/slow-read"), ("POST", "/slow-write")):
            assert client.request(method, f"{slow}?seconds=5").status_code == 504
        with administer(server) as connection:
            connection.execute("BEGIN")
            connection.execute("LOCK accounts, users IN EXCLUSIVE MODE")
            user = {"name": "Ada", "email": "ada@example.com"}
            answers = [client.post("/locked-write"), client.post("/fetched-users", json=user)]
            connection.execute("ROLLBACK")
        for answer in answers:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.post("/locked-write").status_code == 200
