"""A copy of a rendered project that is changed and migrated, on a database of its own."""

import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from alembic_process import PRELOAD, alembic
from projects import BakedProject

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(PRELOAD)
SERVE = """
import sys
from dev.postgres import temporary_server

with temporary_server() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@dataclass
class Deployment:
    """A copy of a project, to be changed, and a database of its own."""

    path: Path
    url: str
    runs: list[Path] = field(default_factory=list)

    @property
    def package(self) -> Path:
        return self.path / "src" / self.path.name

    def start(self, *commands: str) -> ForkServerProcess:
        """Starts alembic commands, one after the other; output() is what they say."""
        self.runs.append(self.path.parent / f"output-{len(self.runs)}")
        self.runs[-1].touch()
        process = PROCESSES.Process(
            target=alembic, args=(str(self.path), self.url, str(self.runs[-1]), *commands)
        )
        process.start()
        return process

    def run(self, *commands: str) -> str:
        """What alembic commands said, which have succeeded."""
        process = self.start(*commands)
        process.join()
        assert process.exitcode == 0, self.output()
        return self.output()

    def output(self, run: int = -1) -> str:
        return self.runs[run].read_text()

    def sql(self, statement: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return [row[0] for row in cursor] if cursor.description else []

    def add_revision(self, revision: str, upgrade: str, declarations: str = "") -> None:
        """Adds a revision after the last; it may use op, sa and the helpers."""
        versions = self.package / "migrations/versions"
        newest = max(versions.glob("20*.py")).read_text()
        down_revision = re.search(r'^revision: str = "(\w+)"', newest, re.MULTILINE)
        assert down_revision
        (versions / f"2027-01-01_{len(list(versions.iterdir())):06}.py").write_text(
            f"""
import sqlalchemy as sa
from alembic import op

from {self.path.name}.migrations.backfill import *
from {self.path.name}.migrations import online

revision: str = "{revision}"
down_revision = "{down_revision[1]}"
{declarations}

def upgrade() -> None:
    {upgrade}
"""
        )


@contextmanager
def running_server(project: BakedProject) -> Iterator[str]:
    """The URL of a server of the project's."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        cwd=project.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    yield process.stdout.readline().strip()
    process.communicate()


@contextmanager
def created_database(server: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield server.replace("/postgres?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def environment(**variables: str) -> dict[str, str]:
    """The environment, with none of the developer's own databases in it."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
    return {**ours, "PYTHONPATH": "src", **variables}
