"""Pools: bounded when exhausted, whole after cancellation, fair to those who wait."""

import asyncio
import random
import statistics
import time
from typing import Any

import httpx2
import pytest
from sqlalchemy import Select, column, func, select, table, text, update
from sqlalchemy.exc import InvalidRequestError

from .conftest import (
    Project,
    Render,
    Serve,
    administer,
    backends,
    checked_out,
    eventually,
    run_script,
    together,
)
from .http_load import count, leave_early, load
from .servers import PostgreSQL, Service

pytestmark = pytest.mark.slow

IN_TRANSACTION = "state LIKE 'idle in transaction%'"


def pools(service: Service) -> Any:
    return httpx2.get(service.base_url + "/pools").json()


def assert_nothing_leaked(service: Service, server: PostgreSQL) -> None:
    """Nothing is checked out, nothing is in a transaction, and all of it can be used."""
    eventually(lambda: not pools(service)["checked_out"])
    eventually(lambda: not backends(server, IN_TRANSACTION))
    limit = pools(service)["limit"]
    assert len(backends(server)) <= 2 * limit + 1
    url = service.base_url + "/slow-read?seconds=0.05"
    assert count(load(url, clients=limit, seconds=0.3)).keys() == {200}


@pytest.mark.parametrize("seconds", [1.5, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.parametrize("pool", [{"pool_size": "5", "max_overflow": "10"}, {}], ids=str)
@pytest.mark.parametrize(("method", "path"), [("GET", "/slow-read"), ("POST", "/slow-write")])
def test_200_clients_get_200_or_503(
    server: PostgreSQL,
    serve: Serve,
    pool: dict[str, str],
    method: str,
    path: str,
    seconds: float,
) -> None:
    """Queries of 100 ms from 200 clients at once: nobody hangs, nothing is left behind."""
    service = serve(pool_timeout="0.5", **pool)
    answers = load(service.base_url + path, clients=200, seconds=seconds, method=method, pause=0.1)
    counts = count(answers)
    slowest = max(each.ended - each.begun for each in answers)
    print(f"{counts}, slowest {slowest:.1f} s")
    assert counts.keys() <= {200, 503}
    assert counts[200] > 10 * seconds
    assert slowest < 20
    assert_nothing_leaked(service, server)


def test_an_exhausted_pool_is_503_within_the_timeout(server: PostgreSQL, serve: Serve) -> None:
    """The probes answer meanwhile: the readiness probe has a connection of its own."""
    service = serve(pool_size="1", pool_timeout="0.5")
    with httpx2.Client(base_url=service.base_url) as client:

        def ask(number: int) -> httpx2.Response:
            time.sleep(0.3 * min(number, 1))
            if number >= 50:
                time.sleep(0.3)
                return client.get("/readyz" if number == 50 else "/livez")
            return httpx2.get(service.base_url + "/slow-read?seconds=2", timeout=20)

        # More than the 40 threads that serve a sync project's handlers.
        answers = together(52, ask)
        assert [answer.status_code for answer in answers[50:]] == [200, 200]
        assert all(answer.elapsed.total_seconds() < 1.5 for answer in answers[50:])
        assert answers[0].status_code == 200
        refused = [answer for answer in answers[:50] if answer.status_code == 503]
        assert len(refused) >= 40
        assert all(answer.headers["retry-after"] == "1" for answer in refused)
        assert all(answer.elapsed.total_seconds() < 4 for answer in refused)


def test_clients_that_leave_cost_nothing(server: PostgreSQL, serve: Serve) -> None:
    """1,000 writes whose clients hang up at random moments: each is done once or not at all."""
    service = serve()
    bodies = [{"name": "Ada", "email": f"ada{number}@example.com"} for number in range(1000)]
    left = leave_early(service.base_url + "/users", bodies, patience=0.15)
    assert_nothing_leaked(service, server)
    with administer(server) as connection:
        done = {email for (email,) in connection.execute("SELECT email FROM users")}
    print(f"{left} of 1000 clients left, {len(done)} writes were done")
    assert left > 100
    assert 1000 - left <= len(done) < 1000
    # To repeat them all is safe: what was done is refused.
    with httpx2.Client(base_url=service.base_url) as client:
        for body in bodies[:100]:
            expected = 409 if body["email"] in done else 201
            assert client.post("/users", json=body).status_code == expected


@pytest.mark.parametrize("units", [300, pytest.param(3000, marks=pytest.mark.long)])
def test_cancelled_units_leave_nothing(render: Render, server: PostgreSQL, units: int) -> None:
    """At random moments: pools whole, nothing half-written, and none that goes on."""
    project = render("async")
    settings = project.settings(server.url(), pool_size=3, pool_timeout=30.0)
    database = project.module("database").Database(settings)
    move = text("UPDATE accounts SET amount = amount + :amount WHERE id = :id")
    total: Select[Any] = select(func.sum(column("amount")).label("total")).select_from(
        table("accounts")
    )
    same = update(table("accounts", column("amount"))).values(amount=column("amount") + 0)
    ended = 0

    async def transfer() -> None:
        async with database.transaction() as session:
            for account, amount in ((1, -1), (2, 1)):
                await session.execute(move, {"id": account, "amount": amount})
                await session.execute(text("SELECT pg_sleep(0.001)"))

    async def read() -> None:
        async with database.read_only(snapshot=random.random() < 0.5) as session:
            assert await session.scalar(total) == 2000

    async def fetch() -> None:
        assert await database.fetch(total) == [{"total": 2000}]

    async def write() -> None:
        assert await database.fetch(same) == []

    async def cancel_some(number: int) -> None:
        nonlocal ended
        unit = (transfer, read, fetch, write)[number % 4]
        for _ in range(units // 20):
            patience = random.choice([0.001, 0.01, 0.05, 0.1, 3.0]) * random.random()
            begun = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(patience):
                    await unit()
            except TimeoutError:
                ended += 1
            else:  # a cancellation that is swallowed would let it go on
                assert asyncio.get_running_loop().time() - begun < patience + 1.0

    async def main() -> None:
        for _ in range(3):  # so that fetch() has its plans
            await fetch()
            await write()
        await asyncio.gather(*(cancel_some(number) for number in range(20)))
        assert checked_out(database) == 0

        async def hold(unit: Any) -> None:
            async with unit() as session:
                await session.execute(text("SELECT pg_sleep(0.1)"))

        # Every connection, and every turn, can be had again.
        uses = [hold(unit) for unit in (database.transaction, database.read_only) * 3]
        async with asyncio.timeout(2):
            await asyncio.gather(*uses)
        assert await database.ping() is None
        await database.dispose()

    asyncio.run(main())
    print(f"{ended} of {units} units were cancelled")
    assert units / 10 < ended < units
    eventually(lambda: not backends(server))
    with administer(server) as connection:
        assert connection.execute("SELECT sum(amount) FROM accounts").fetchone() == (2000,)


def test_a_cancelled_statement_ends_on_the_server(render: Render, server: PostgreSQL) -> None:
    """Else the server would run more of them than the pool has connections."""
    project = render("async")
    database = project.module("database").Database(project.settings(server.url()))

    async def cancel(unit: Any) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), unit() as session:
                await session.execute(text("SELECT pg_sleep(20)"))

    async def cancel_fetch() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await database.fetch(select(func.pg_sleep(20)))

    async def main() -> None:
        units = [database.transaction, database.read_only] * 3
        await asyncio.gather(*(cancel(unit) for unit in units), cancel_fetch())
        await asyncio.sleep(1)
        assert not backends(server, "state = 'active'")
        await database.dispose()

    asyncio.run(main())


def test_a_stream_cannot_use_a_closed_session(server: PostgreSQL, serve: Serve) -> None:
    """It fails, rather than to begin again on a connection that nobody gives back."""
    service = serve()
    for _ in range(20):
        with pytest.raises(httpx2.RemoteProtocolError):
            httpx2.get(service.base_url + "/late-stream")
    assert InvalidRequestError.__name__ in service.log()
    assert_nothing_leaked(service, server)


WAIT = select(func.pg_sleep(0.002).label("slept"))
WRITE = update(table("accounts", column("id"), column("amount"))).where(column("id") == 3)
WRITE = WRITE.values(amount=1)


@pytest.mark.parametrize("unit", ["transaction", "read_only", "fetch", "fetched write", "mixed"])
def test_nobody_waits_much_longer_than_the_others(
    project: Project, server: PostgreSQL, unit: str
) -> None:
    """40 clients on 2 connections for 2 s; SQLAlchemy's own queue lets newcomers overtake."""
    settings = project.settings(server.url(), pool_size=2, max_overflow=0)
    database = project.module("database").Database(settings)
    clients = 40 if unit != "mixed" else 80
    waits: list[list[float]] = [[] for _ in range(clients)]
    kinds = [unit] if unit != "mixed" else ["fetch", "read_only"]

    async def use(kind: str) -> None:
        if kind.startswith("fetch"):
            await database.fetch(WAIT if kind == "fetch" else WRITE)
        else:
            async with getattr(database, kind)() as session:
                await session.execute(WAIT)

    async def ask(number: int, until: float) -> None:
        while (begun := time.monotonic()) < until:
            await use(kinds[number % len(kinds)])
            waits[number].append(time.monotonic() - begun)

    async def main() -> None:
        for _ in range(3):
            await use(kinds[0])
        until = time.monotonic() + 2.0
        await asyncio.gather(*(ask(number, until) for number in range(clients)))
        await database.dispose()

    def use_in_thread(kind: str) -> None:
        if kind.startswith("fetch"):
            database.fetch(WAIT if kind == "fetch" else WRITE)
        else:
            with getattr(database, kind)() as session:
                session.execute(WAIT)

    def ask_in_thread(number: int) -> None:
        until = time.monotonic() + 2.0
        while (begun := time.monotonic()) < until:
            use_in_thread(kinds[number % len(kinds)])
            waits[number].append(time.monotonic() - begun)

    if project.engine == "async":
        asyncio.run(main())
    else:
        for _ in range(3):
            use_in_thread(kinds[0])
        together(clients, ask_in_thread)
        database.dispose()
    median = statistics.median(wait for each in waits for wait in each)
    longest = max(max(each) for each in waits)
    counts = sorted(map(len, waits))
    print(project.engine, unit, f"median {median:.3f} s, longest {longest:.3f} s, {counts}")
    assert counts[0] >= counts[-1] / 5
    assert longest < 12 * median


@pytest.mark.long
def test_100_000_fetches_leave_no_memory(project: Project, server: PostgreSQL) -> None:
    run_script(project, server.url(), MEMORY)


MEMORY = """
import asyncio, gc
from pathlib import Path
from sqlalchemy import bindparam, column, select, table, update
from {package}.database import Database
from {package}.settings import Settings

ACCOUNTS = table("accounts", column("id"), column("amount"))
BY_ID = select(ACCOUNTS).where(ACCOUNTS.c.id == bindparam("account_id"))
WRITE = update(ACCOUNTS).where(ACCOUNTS.c.id == bindparam("account_id")).values(amount=1)

def memory():
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])

async def work(database, count):
    for number in range(count):
        assert len(await database.fetch(BY_ID, dict(account_id=1 + number % 2))) == 1
        if number % 10 == 0:
            await database.fetch(WRITE, dict(account_id=1))
        if number % 20 == 0:
            # A statement that is made anew each time, and one that fails.
            await database.fetch(select(ACCOUNTS).where(ACCOUNTS.c.id == 1))

async def main():
    database = Database(Settings())
    await work(database, 10_000)
    before = memory()
    await work(database, 100_000)
    grown = memory() - before
    print(grown, "kB")
    assert grown < 3_000, grown
    await database.dispose()

asyncio.run(main())
"""
