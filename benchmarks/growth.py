"""How a rendered project grows: with rows, with models, with connections, with processes.

`python -m benchmarks.growth` writes growth.md and growth.svg.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import asyncpg
import matplotlib as mpl
from matplotlib.figure import Figure

from .load import send_load
from .measurement import READ_BY_ID, database, execute, requests
from .services import OTHER_CORES, SERVICE_CORE, UVICORN, Service, render, serve

RESULTS = Path(__file__).parent
ROWS = (1_000, 10_000, 100_000, 1_000_000)
MODELS = (2, 50, 100, 200)
CONNECTIONS = (1, 4, 16, 64, 150, 300)
PROCESSES = (1, 2)
CONNECTIONS_OF_PROCESSES = 64
REPETITIONS = 5
SECONDS = 2.0

INSERT_ROWS = """
INSERT INTO users (name, email, created_at)
SELECT 'User ' || n, 'user' || n || '@example.org', timestamptz '2025-01-01' + n * interval '1 s'
FROM generate_series({first}, {last}) AS n
"""
OFFSET_PAGE = "SELECT * FROM users ORDER BY created_at DESC, id DESC OFFSET $1 LIMIT 20"

MODEL = '''"""A model among many."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from ..database.base import Entity


class Thing{number}(Entity):
    __tablename__ = "things{number}"

    name: Mapped[str] = mapped_column(String(100), unique=True)
    amount: Mapped[int | None]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
'''

EXAMPLE_MODELS = ("user", "post")
IMPORT = """
import pkgutil
from sqlalchemy.orm import configure_mappers
import {package}.models as models
for module in pkgutil.iter_modules(models.__path__, models.__name__ + "."):
    __import__(module.name)
configure_mappers()
"""
ONE_TEST = "test_posts_go_with_their_author"

# By the name of a curve: pairs of a size and what was measured there.
Curves = dict[str, list[tuple[int, float]]]


def median_time(work: Callable[[], object]) -> float:
    """Milliseconds, the median of some repetitions."""
    times = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def service_of(project: Path, url: str, workers: int = 1) -> AbstractContextManager[Service]:
    application = f"{project.name}.api.app:app"
    if workers == 1:
        return serve(application, project / "src", url)
    server = (*UVICORN, "--workers", str(workers))
    return serve(application, project / "src", url, server, cores={SERVICE_CORE, *OTHER_CORES})


def pages(directory: Path) -> Curves:
    """Milliseconds of a page in the middle of the list: by its cursor, and by OFFSET."""
    project = render(directory / "pages", engine="async")
    by_cursor: list[tuple[int, float]] = []
    by_offset: list[tuple[int, float]] = []
    with database(project) as url, service_of(project, url) as service:
        present = 0
        execute(url, "TRUNCATE users CASCADE")
        for rows in ROWS:
            execute(url, INSERT_ROWS.format(first=present + 1, last=rows))
            execute(url, "VACUUM ANALYZE users")
            present = rows
            cursor = cursor_in_the_middle(service, rows)
            page = partial(service.get, f"/users?after={cursor}")
            by_cursor.append((rows, median_time(page)))
            by_offset.append((rows, asyncio.run(offset_time(url, rows // 2))))
            progress(f"{rows} rows")
    return {"cursor (request)": by_cursor, "OFFSET (query alone)": by_offset}


def cursor_in_the_middle(service: Service, rows: int) -> str:
    after = ""
    for _ in range(rows // 2 // 100):
        after = f"&after={json.loads(service.get(f'/users?limit=100{after}'))['next']}"
    return after.removeprefix("&after=")


async def offset_time(url: str, offset: int) -> float:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    times = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        await connection.fetch(OFFSET_PAGE, offset)
        times.append(time.perf_counter() - start)
    await connection.close()
    return 1000 * statistics.median(times)


def models(directory: Path) -> Curves:
    """Milliseconds of importing the models, of `alembic check`, and of one test."""
    curves: Curves = {}
    for number in MODELS:
        project = render(directory / f"models-{number}", engine="async")
        add_models(project, number - len(EXAMPLE_MODELS))
        with database(project) as url:
            run = command_in(project, url)
            if number > len(EXAMPLE_MODELS):
                run("-m", "alembic", "revision", "--autogenerate", "-m", "add things")
                run("-m", "alembic", "upgrade", "head")
            commands = {
                "import of the models": ("-c", IMPORT.format(package=project.name)),
                "alembic check": ("-m", "alembic", "check"),
                "pytest, one test": ("-m", "pytest", "-q", "-k", ONE_TEST, "tests/test_models.py"),
            }
            for name, command in commands.items():
                run(*command)  # compiles bytecode
                curves.setdefault(name, []).append((number, median_time(partial(run, *command))))
        progress(f"{number} models")
    return curves


def add_models(project: Path, number: int) -> None:
    package = project / "src" / project.name / "models"
    for n in range(number):
        (package / f"thing{n}.py").write_text(MODEL.format(number=n))


def command_in(project: Path, url: str) -> Callable[..., object]:
    """A function that runs Python with arguments in the project, on that database."""
    environment = {**os.environ, "PYTHONPATH": "src", "DATABASE_URL": url}

    def run(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, *arguments],
            cwd=project,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    return run


def throughput(directory: Path, loads: Mapping[int, tuple[int, int]]) -> Curves:
    """Requests per second, where `loads` has the connections and the processes of each size."""
    curves: Curves = {}
    for engine in ("async", "sync"):
        project = render(directory / f"{engine}-{max(loads)}", engine=engine)
        with database(project) as url:
            for size, (clients, workers) in loads.items():
                with service_of(project, url, workers) as service:
                    answered(service, clients)  # opens the connections
                    rates = [answered(service, clients) / SECONDS for _ in range(REPETITIONS)]
                curves.setdefault(engine, []).append((size, statistics.median(rates)))
                progress(f"{engine}: {clients} connections, {workers} processes")
    return curves


def answered(service: Service, clients: int) -> int:
    load = asyncio.run(
        send_load(service.port, requests(READ_BY_ID), connections=clients, seconds=SECONDS)
    )
    return len(load.latencies)


def progress(text: str) -> None:
    print(text, file=sys.stderr)


def as_markdown(curves: dict[str, Curves]) -> str:
    lines = [
        "# How does a rendered project grow?",
        "",
        f"Each figure is the median of {REPETITIONS} repetitions, with the default answers.",
        "",
    ]
    for title, by_name in curves.items():
        sizes = [size for size, _ in next(iter(by_name.values()))]
        lines += [
            f"## {title}",
            "",
            f"| | {' | '.join(f'{size:,}' for size in sizes)} |",
            f"|---|{'---|' * len(sizes)}",
        ]
        lines += [
            f"| {name} | {' | '.join(f'{value:,.1f}' for _, value in points)} |"
            for name, points in by_name.items()
        ]
        lines.append("")
    return "\n".join([*lines, "![The same as plots](growth.svg)", ""])


def plot(curves: dict[str, Curves], path: Path) -> None:
    mpl.rcParams["svg.hashsalt"] = "growth"  # the same file from the same figures
    figure = Figure(figsize=(9, 6), layout="constrained")
    for axes, (title, by_name) in zip(figure.subplots(2, 2).flat, curves.items(), strict=True):
        for name, points in by_name.items():
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set_title(title, fontsize="medium")
        if max(size for points in by_name.values() for size, _ in points) > 1000:
            axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize="small")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    if OTHER_CORES:
        os.sched_setaffinity(0, OTHER_CORES)
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        directory = Path(name)
        curves = {
            "Milliseconds of a page in the middle of so many rows": pages(directory),
            "Milliseconds with so many models": models(directory),
            "Requests per second with so many connections": throughput(
                directory, {clients: (clients, 1) for clients in CONNECTIONS}
            ),
            "Requests per second with so many processes": throughput(
                directory, {number: (CONNECTIONS_OF_PROCESSES, number) for number in PROCESSES}
            ),
        }
    (RESULTS / "growth.md").write_text(as_markdown(curves))
    plot(curves, RESULTS / "growth.svg")


if __name__ == "__main__":
    main()
