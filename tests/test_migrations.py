"""Migrations of rendered projects: many at once, in use, killed, undone, and from a wheel."""

import logging
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from alembic_process import PRELOAD, alembic
from conftest import TEMPLATE, BakedProject
from pytest_cookies.plugin import Cookies

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(PRELOAD)
SERVE = """
import sys
from dev.postgres import temporary_server

with temporary_server() as url:
    print(url, flush=True)
    sys.stdin.read()
"""
FIRST = "6d1f2a9c4b7e"
# For the test of a million rows, by hand.
ROWS = int(os.environ.get("BACKFILL_ROWS", "60_000"))


@dataclass
class Deployment:
    """A copy of a project, to be changed, and a database of its own."""

    path: Path
    url: str
    runs: list[Path] = field(default_factory=list)

    @property
    def package(self) -> Path:
        return self.path / "src" / self.path.name

    def start(self, *arguments: str) -> ForkServerProcess:
        """Starts an alembic command; output() is what it said."""
        self.runs.append(self.path.parent / f"output-{len(self.runs)}")
        self.runs[-1].touch()
        process = PROCESSES.Process(
            target=alembic, args=(str(self.path), self.url, str(self.runs[-1]), *arguments)
        )
        process.start()
        return process

    def run(self, *arguments: str) -> str:
        """What an alembic command said, which has succeeded."""
        process = self.start(*arguments)
        process.join()
        assert process.exitcode == 0, self.output()
        return self.output()

    def output(self, run: int = -1) -> str:
        return self.runs[run].read_text()

    def sql(self, statement: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]  # a plain string
            return [row[0] for row in cursor] if cursor.description else []

    def add_revision(self, revision: str, upgrade: str, downgrade: str = "pass", head: str = "") -> None:
        """Adds a revision after the last, whose body may use op, sa and the helpers."""
        versions = self.package / "migrations/versions"
        newest = max(versions.glob("2*.py")).read_text()
        down_revision = re.search(r'^revision: str = "(\w+)"', newest, re.MULTILINE)
        assert down_revision
        (versions / f"2027-01-01_{len(list(versions.iterdir())):06}.py").write_text(
            f"""
import sqlalchemy as sa
from alembic import op

from {self.path.name}.migrations.backfill import *
from {self.path.name}.migrations.operations import *

revision: str = "{revision}"
down_revision = "{down_revision[1]}"
{head}

def upgrade() -> None:
    {upgrade}

def downgrade() -> None:
    {downgrade}
"""
        )


@pytest.fixture(scope="session", params=["async", "sync"])
def rendered(request: pytest.FixtureRequest, cookies_session: Cookies) -> BakedProject:
    result: Any = cookies_session.bake(  # type: ignore[no-untyped-call]  # pytest-cookies ships no types
        extra_context={"engine": request.param}, template=str(TEMPLATE)
    )
    assert result.exception is None, result.exception
    return BakedProject(result.project_path, result.context)


@pytest.fixture(scope="session")
def server(rendered: BakedProject) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        cwd=rendered.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    yield process.stdout.readline().strip()
    process.communicate()


@pytest.fixture
def deployment(rendered: BakedProject, server: str, tmp_path: Path) -> Iterator[Deployment]:
    path = shutil.copytree(rendered.path, tmp_path / rendered.slug)
    with database(server) as url:
        yield Deployment(path, url)


@contextmanager
def database(server: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]  # a plain string
        yield server.replace("/postgres?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]  # the same


def test_ten_processes_upgrade_at_once(deployment: Deployment) -> None:
    deployment.add_revision(
        "filled",
        """op.execute("INSERT INTO users (name, email) SELECT 'a', i FROM generate_series(1, 200000) i")""",
    )
    deployment.add_revision("indexed", 'create_index_concurrently("ix_users_name", "users", ["name"])')

    processes = [deployment.start("upgrade", "head") for _ in range(10)]
    for process in processes:
        process.join(60)
    outputs = [deployment.output(run) for run in range(10)]

    assert [process.exitcode for process in processes] == [0] * 10, outputs
    said = "".join(outputs)
    assert re.findall(r"Running upgrade \w* -> (\w+)", said) == [FIRST, "filled", "indexed"]
    assert "migrates this database: waiting for it to end" in said
    assert deployment.sql("SELECT version_num FROM alembic_version") == ["indexed"]
    assert deployment.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_users_name'::regclass") == [True]


def test_a_migration_gives_way_to_those_who_use_the_table(deployment: Deployment) -> None:
    deployment.run("upgrade", "head")
    deployment.add_revision("widened", 'op.add_column("posts", sa.Column("summary", sa.Text()))')
    waits: list[float] = []
    done = threading.Event()

    def read() -> None:
        with psycopg.connect(deployment.url, autocommit=True) as connection:
            while not done.is_set():
                started = time.monotonic()
                connection.execute("SELECT FROM posts LIMIT 1")
                waits.append(time.monotonic() - started)
                time.sleep(0.01)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with psycopg.connect(deployment.url) as in_use:
            in_use.execute("SELECT FROM posts")
            process = deployment.start("upgrade", "head")
            time.sleep(6)
            in_use.rollback()
        process.join(30)
    finally:
        done.set()
        reader.join()

    assert process.exitcode == 0, deployment.output()
    assert deployment.output().count("lock timeout; trying again in") >= 2
    print(f"longest wait of {len(waits)} reads: {max(waits):.2f} s")
    assert 1 < max(waits) < 2.5
    assert deployment.sql("SELECT summary FROM posts") == []


def test_a_killed_upgrade_leaves_a_whole_revision_and_a_free_lock(deployment: Deployment) -> None:
    for table in ("a", "b"):
        creations = [
            f'op.execute("CREATE TABLE {table}{number} AS SELECT i FROM generate_series(1, 50000) i")'
            for number in (1, 2)
        ]
        deployment.add_revision(f"tables_{table}", "\n    ".join(creations))
        deployment.add_revision(
            f"index_{table}", f'create_index_concurrently("ix_{table}", "{table}1", ["i"])'
        )
        deployment.add_revision(f"required_{table}", f'set_not_null("{table}2", "i")')
    tables_at = {"": [], FIRST: []}
    tables_at |= {f"{step}_a": ["a1", "a2"] for step in ("tables", "index", "required")}
    tables_at |= {f"{step}_b": ["a1", "a2", "b1", "b2"] for step in ("tables", "index", "required")}
    reached: list[str] = []

    while len(reached) < 20:
        process = deployment.start("upgrade", "head")
        wait_until(lambda: "Running" in deployment.output() or not process.is_alive())  # noqa: B023  # called at once
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            wait_until(lambda: deployment.sql("SELECT FROM pg_locks WHERE locktype = 'advisory'") == [])
            shown = deployment.run("current").split()
            reached.append(shown[0] if shown else "")
            tables = "SELECT relname FROM pg_class WHERE relname ~ '^[ab][12]$' ORDER BY relname"
            assert deployment.sql(tables) == tables_at[reached[-1]]
            deployment.run("upgrade", "head")
        deployment.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    print(f"killed at {reached}")
    assert len(set(reached)) > 3


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
