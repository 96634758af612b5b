"""The rendered projects of both engines, and the servers whose faults they have to bear."""

import contextlib
import functools
import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from cookiecutter.main import cookiecutter
from launcher import launcher
from projects import TEMPLATE
from sqlalchemy import create_engine

from .servers import PgBouncer, PostgreSQL, Service
from .sync_facade import EventLoopThread, as_sync


@dataclass(frozen=True)
class Project:
    """A rendered project, imported: both engines' have packages of different names."""

    path: Path
    engine: str

    def module(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.path.name}.{name}")

    @property
    def driver(self) -> ModuleType:
        names = {"async": "asyncpg_driver", "sync": "psycopg_driver"}
        return self.module(f"database.{names[self.engine]}")

    def settings(self, url: str, **settings: Any) -> Any:
        values = {f"database_{name}": value for name, value in settings.items()}
        return self.module("settings").Settings(database_url=url, **values)

    def fault_of(self, error: BaseException) -> str | None:
        fault = self.module("database").fault_of(error)
        return fault.name if fault else None


Render = Callable[[str], Project]
Connect = Callable[..., Any]
Serve = Callable[..., Service]


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Makes the project of an engine, once."""

    @functools.cache
    def render(engine: str) -> Project:
        path = cookiecutter(
            str(TEMPLATE),
            no_input=True,
            accept_hooks=False,  # only the package is used
            output_dir=str(tmp_path_factory.mktemp(engine)),
            extra_context={"project_slug": f"faulty_{engine}", "engine": engine},
        )
        sys.path.insert(0, str(Path(path) / "src"))
        return Project(Path(path), engine)

    return render


@pytest.fixture(params=["async", "sync"])
def project(request: pytest.FixtureRequest, render: Render) -> Project:
    return render(request.param)


@pytest.fixture(scope="session")
def shared_server(render: Render) -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    server.start()
    project = render("sync")
    project.module("models")
    engine = create_engine(server.url().replace("postgresql:", "postgresql+psycopg:"))
    project.module("database").Base.metadata.create_all(engine)
    engine.dispose()
    yield server
    server.close()


@pytest.fixture
def server(shared_server: PostgreSQL) -> PostgreSQL:
    """A server with the tables of the models, empty, which may be restarted or frozen."""
    with administer(shared_server) as connection:
        connection.execute("TRUNCATE users, posts RESTART IDENTITY CASCADE")
        connection.execute("DROP TABLE IF EXISTS accounts")
        connection.execute("CREATE TABLE accounts (id int PRIMARY KEY, amount int NOT NULL)")
        connection.execute("INSERT INTO accounts VALUES (1, 1000), (2, 1000)")
    return shared_server


@contextlib.contextmanager
def administer(server: PostgreSQL) -> Iterator[psycopg.Connection[Any]]:
    """A connection past the layer under test, in autocommit."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        yield connection


def backends(server: PostgreSQL, condition: str = "true") -> list[int]:
    """PIDs of the server's connections from the layer under test."""
    query = "SELECT pid FROM pg_stat_activity WHERE application_name ~ '^faulty' AND "
    with administer(server) as connection:
        return [pid for (pid,) in connection.execute(query + condition)]


@pytest.fixture
def gate(server: PostgreSQL) -> Iterator[psycopg.Connection[Any]]:
    """An administrator's connection; there are the role "guest" and the database "gated"."""
    with psycopg.connect(server.url().replace("/service", "/postgres"), autocommit=True) as admin:
        admin.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        admin.execute("CREATE DATABASE gated")
        yield admin
        admin.execute("DROP DATABASE gated WITH (FORCE)")
        admin.execute("DROP ROLE guest")


@pytest.fixture
def loop() -> Iterator[Any]:
    thread = EventLoopThread()
    yield thread.loop
    thread.close()


@pytest.fixture
def connect(project: Project, server: PostgreSQL, loop: Any) -> Iterator[Connect]:
    """Makes a Database, of `server` if no URL is given, with these settings."""
    with contextlib.ExitStack() as stack:

        def connect(url: str | None = None, **settings: Any) -> Any:
            Database = project.module("database").Database
            database = as_sync(Database(project.settings(url or server.url(), **settings)), loop)
            stack.callback(database.dispose)
            return database

        yield connect


@pytest.fixture
def serve(project: Project, server: PostgreSQL) -> Iterator[Serve]:
    """Starts the service, on `server` if no URL is given, with these settings."""
    with contextlib.ExitStack() as stack:

        def serve(url: str | None = None, **settings: str) -> Service:
            service = Service(project.path, url or server.url(), **settings)
            stack.callback(service.close)
            service.start()
            return service

        yield serve


@pytest.fixture(scope="session")
def tls_server() -> Iterator[PostgreSQL]:
    try:
        server = PostgreSQL(tls=True)
    except launcher.ServerError as error:
        pytest.skip(str(error))
    server.enable_tls()
    server.start()
    yield server
    server.close()


@pytest.fixture
def pgbouncer(server: PostgreSQL) -> Iterator[PgBouncer]:
    if PgBouncer.binary() is None:
        pytest.skip("needs PgBouncer: apt-get install pgbouncer")
    pooler = PgBouncer(server)
    pooler.start()
    yield pooler
    pooler.close()


@pytest.fixture
def replica(server: PostgreSQL) -> Iterator[PostgreSQL]:
    standby = PostgreSQL(replica_of=server, hot_standby="on")
    standby.start()
    yield standby
    standby.close()


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """The results of work(0) … work(count - 1), each in a thread of its own, at once."""
    barrier = threading.Barrier(count)

    def begin(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(begin, range(count)))


def eventually(condition: Callable[[], Any], timeout: float = 10.0) -> None:
    """Waits until the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
