"""Pools: bounded when exhausted, whole after cancellation; safe after a fork and between loops."""

import asyncio
import random
import subprocess
import sys
import time
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import InvalidRequestError

from .conftest import (
    Project,
    Render,
    Serve,
    administer,
    backends,
    checked_out,
    eventually,
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


def test_cancelled_units_leave_nothing(render: Render, server: PostgreSQL) -> None:
    """asyncio.timeout ends 1,000 units at random moments: pools whole, nothing half-written."""
    project = render("async")
    database = project.module("database").Database(project.settings(server.url()))
    move = text("UPDATE accounts SET amount = amount + :amount WHERE id = :id")
    ended = 0

    async def transfer() -> None:
        async with database.transaction() as session:
            for account, amount in ((1, -1), (2, 1)):
                await session.execute(move, {"id": account, "amount": amount})
                await session.execute(text("SELECT pg_sleep(0.001)"))

    async def read() -> None:
        async with database.read_only(snapshot=random.random() < 0.5) as session:
            total = await session.scalar(text("SELECT sum(amount) FROM accounts"))
            assert total == 2000

    async def cancel_some(number: int) -> None:
        nonlocal ended
        for _ in range(50):
            try:
                async with asyncio.timeout(random.choice([0.01, 0.05, 0.1, 3.0]) * random.random()):
                    await (transfer() if number % 2 else read())
            except TimeoutError:
                ended += 1

    async def main() -> None:
        await asyncio.gather(*(cancel_some(number) for number in range(20)))
        assert checked_out(database) == 0

        async def hold() -> None:
            async with database.transaction() as session:
                await session.execute(text("SELECT pg_sleep(0.05)"))

        # Every slot can be used again.
        await asyncio.wait_for(asyncio.gather(*(hold() for _ in range(10))), 10)
        assert await database.ping() is None
        await database.dispose()

    asyncio.run(main())
    print(f"{ended} of 1000 units were cancelled")
    assert 100 < ended < 1000
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

    async def main() -> None:
        units = [database.transaction, database.read_only] * 5
        await asyncio.gather(*(cancel(unit) for unit in units))
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


FORK = """
import os, sys, asyncio
from sqlalchemy import text
from {package}.database import Database
from {package}.settings import Settings

async def pid(database):
    async with database.transaction() as session:
        written = await session.scalar(text("SELECT pg_backend_pid()"))
    async with database.read_only() as session:
        return {{written, await session.scalar(text("SELECT pg_backend_pid()"))}}

async def parent(database):
    before = await pid(database)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        CHILD
        os.write(writer, repr(mine).encode())
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    os.close(writer)
    assert not before & eval(os.read(reader, 1000)), "the child used its parent's connections"
    assert await pid(database) == before, "the parent lost its connections"
    await database.ping()
    await database.dispose()

RUN
"""
VARIANTS = {
    # A child that is forked inside a running loop has no loop of its own until that is left.
    "async": (
        """
        asyncio.events._set_running_loop(None)
        mine = asyncio.run(pid(database))
        asyncio.run(database.dispose())
        import gc; gc.collect()
        os.write(writer, repr(mine).encode())
        os._exit(0)
        """,
        "asyncio.run(parent(Database(Settings())))",
    ),
    "sync": ("mine = pid(database); database.dispose()", "parent(Database(Settings()))"),
}


def test_a_fork_opens_connections_of_its_own(project: Project, server: PostgreSQL) -> None:
    child, run = VARIANTS[project.engine]
    script = FORK.format(package=project.path.name).replace("CHILD", child).replace("RUN", run)
    if project.engine == "sync":
        script = script.replace("async ", "").replace("await ", "")
    run_script(project, server, script)


TWO_LOOPS = """
import asyncio
from concurrent.futures import ThreadPoolExecutor
from sqlalchemy import literal, select, text
from {package}.database import Database, Rows
from {package}.settings import Settings

database = Database(Settings())
rows = Rows(select(literal(3).label("n")))

async def ask():
    async with database.read_only() as session:
        return await session.scalar(text("SELECT 1"))

async def work():
    assert await ask() == 1
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT 2")) == 2
    for _ in range(2):
        assert await database.rows(rows) == [dict(n=3)]
    await database.ping()

async def elsewhere():
    await ask()
    try:
        await asyncio.to_thread(asyncio.run, ask())
    except RuntimeError as error:
        assert "event loop" in str(error), error
    else:
        raise AssertionError("two loops at once")
    await ping_elsewhere()
    await database.dispose()

async def ping_elsewhere():
    # While the probe of this loop still waits, which it does until it gets the only connection.
    [holder] = [await engine.connect() for engine in database.engines if engine.pool.size() == 1]
    probe = asyncio.create_task(database.ping())
    await asyncio.sleep(0.1)
    for use in (database.ping, database.dispose):
        try:
            await asyncio.to_thread(asyncio.run, asyncio.wait_for(use(), 5))
        except RuntimeError as error:
            assert "event loop" in str(error), error
        else:
            raise AssertionError("two loops at once")
    await holder.close()
    await probe

asyncio.run(work())
asyncio.run(work())
with ThreadPoolExecutor() as other_thread:
    other_thread.submit(asyncio.run, work()).result()
asyncio.run(elsewhere())
"""


def test_one_loop_after_the_other_but_not_two_at_once(render: Render, server: PostgreSQL) -> None:
    project = render("async")
    run_script(project, server, TWO_LOOPS.format(package=project.path.name))


LOOP_AFTER_LOOP = """
import asyncio, gc
import psycopg
from sqlalchemy import text
from {package}.database import Database
from {package}.settings import Settings

gc.disable()  # so that nothing but the Database closes a connection
database = Database(Settings(database_pool_size=3))
connections = psycopg.connect("{url}", autocommit=True)
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{package}'"

async def use(unit):
    async with unit() as session:
        await session.execute(text("SELECT pg_sleep(0.05)"))

async def leave_one_open():
    session = database.sessions()
    await session.execute(text("SELECT 1"))
    leftovers.append(session)

async def work():
    units = [database.transaction] * 3 + [database.read_only] * 3
    await asyncio.gather(database.ping(), *(use(unit) for unit in units))
    await asyncio.sleep(0.2)
    (number,) = connections.execute(COUNT).fetchone()
    assert number == 7, number

async def job():
    await work()
    await leave_one_open()

leftovers = []
for _ in range(10):
    asyncio.run(job())
asyncio.run(database.dispose())
"""


def test_loops_that_follow_each_other_stay_within_the_limit(
    render: Render, server: PostgreSQL
) -> None:
    """As in a task queue: each asyncio.run() closes the connections of the one before."""
    project = render("async")
    script = LOOP_AFTER_LOOP.format(package=project.path.name, url=server.url())
    run_script(project, server, script)
    eventually(lambda: not backends(server))


def run_script(project: Project, server: PostgreSQL, script: str) -> None:
    environment = {"DATABASE_URL": server.url(), "PYTHONPATH": str(project.path / "src")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
