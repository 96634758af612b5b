"""Forks and event loops: nobody gets the answers of another one."""

import pytest

from .conftest import Project, Render, backends, eventually, run_script
from .servers import PostgreSQL

pytestmark = pytest.mark.slow

FORK_SCRIPT = """
import asyncio, os, sys, warnings
from sqlalchemy import bindparam, select, text
from sqlalchemy.types import Integer
from {package}.database import Database
from {package}.settings import Settings

# Python 3.12 warns of threads, of which the child uses none.
warnings.filterwarnings("ignore", category=DeprecationWarning)
ECHO = select(bindparam("number", type_=Integer).label("number"))

async def ask(database, first, rounds=200):
    for number in range(first, first + rounds):
        assert await database.fetch(ECHO, dict(number=number)) == [dict(number=number)]
        for unit in (database.transaction, database.read_only):
            async with unit() as session:
                answer = await session.scalar(text("SELECT :number"), dict(number=str(number)))
                assert answer == str(number), (answer, number)
    await database.ping()

async def child(database):
    await ask(database, 1_000_000)
    await database.dispose()

def begin_child(database):
    FORGET
    asyncio.run(child(database))

async def parent(database):
    await ask(database, 0, rounds=3)
    FORK
    await ask(database, 0)  # at once
    JOIN
    await ask(database, 0, rounds=3)
    await database.dispose()

asyncio.run(parent(Database(Settings())))
"""
BY_OS = (
    """pid = os.fork()
    if pid == 0:
        try:
            begin_child(database)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
""",
    "assert os.waitpid(pid, 0)[1] == 0",
)
BY_MULTIPROCESSING = (
    """import multiprocessing
    process = multiprocessing.get_context("fork").Process(target=begin_child, args=(database,))
    process.start()
""",
    "process.join(); assert process.exitcode == 0",
)
# A child that is forked inside a running loop has no loop of its own until that is left.
FORGET = {"async": "asyncio.events._set_running_loop(None)", "sync": "pass"}


@pytest.mark.parametrize(("fork", "join"), [BY_OS, BY_MULTIPROCESSING], ids=["os", "processes"])
def test_parent_and_child_use_the_database_at_once(
    project: Project, server: PostgreSQL, fork: str, join: str
) -> None:
    script = FORK_SCRIPT.replace("    FORK\n", f"    {fork}").replace("JOIN", join)
    run_script(project, server.url(), script.replace("FORGET", FORGET[project.engine]))
    eventually(lambda: not backends(server))


PREFORK = """
import asyncio, os
from sqlalchemy import text
from {package}.database import Database
from {package}.settings import Settings

database = Database(Settings())

async def work():
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT 1")) == 1
    await database.ping()
    await database.dispose()

children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        asyncio.run(work())
        os._exit(0)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
"""


def test_a_worker_forked_before_the_first_use_has_its_own_loop(
    project: Project, server: PostgreSQL
) -> None:
    """As prefork servers do: the Database is made at import time, and used by the children."""
    run_script(project, server.url(), PREFORK)


SECOND_LOOP = """
import asyncio
from sqlalchemy import literal, select, text
from {package}.database import Database
from {package}.settings import Settings

database = Database(Settings())
ONE = select(literal(1).label("one"))

async def read():
    async with database.read_only() as session:
        await session.scalar(ONE)

async def write():
    async with database.transaction() as session:
        await session.scalar(ONE)

async def fetch():
    await database.fetch(ONE)

USES = (read, write, fetch, database.ping)

async def first():
    for use in USES * 3:
        await use()
    for use in USES:
        try:
            await asyncio.to_thread(asyncio.run, use())
        except RuntimeError as error:
            assert "another event loop" in str(error), error
        else:
            raise AssertionError("two loops at once")
    for use in USES:
        await use()

asyncio.run(first())
for use in USES:
    try:
        asyncio.run(use())
    except RuntimeError as error:
        assert "another event loop" in str(error), error
    else:
        raise AssertionError("one loop after the other")
"""


def test_a_second_loop_gets_one_clear_error(render: Render, server: PostgreSQL) -> None:
    """At the same time or later; the first one goes on."""
    run_script(render("async"), server.url(), SECOND_LOOP)
