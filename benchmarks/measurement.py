"""CPU time and latency of each candidate, measured in turns, so that a slow minute slows all."""

import asyncio
import contextlib
import importlib
import itertools
import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from .load import request, send_load
from .services import GRANIAN, TEMPLATE, UVICORN, Service, render, serve

USERS = 1000
# CPU time is measured with the first number of connections, latency with the second.
CONNECTIONS = 16
MANY_CONNECTIONS = 64
# In how many pieces a candidate's time of a round is measured.
TURNS = 8
# Seconds of load, on each endpoint, before a service is measured.
WARM_UP = 0.3
READ_BY_ID, LIST, CREATE = "read by id", "list of 20", "create"
ENDPOINTS = (READ_BY_ID, LIST, CREATE)

SEED = "a dependency yields the session (seed pattern)"
SEED_AGAIN = "seed pattern again (the noise)"
BY_HAND = "FastAPI and asyncpg by hand"
HAND_WRITTEN = {
    SEED: "seed_pattern",
    SEED_AGAIN: "seed_pattern",
    "a dependency commits, repository class": "committing_dependency",
    BY_HAND: "raw_asyncpg",
}
RENDERED = {
    "rendered, async": ("async", UVICORN),
    "rendered, async, on granian": ("async", GRANIAN),
    "rendered, sync": ("sync", UVICORN),
}

INSERT_USERS = f"""
INSERT INTO users (name, email, is_active, role, age, created_at)
SELECT 'User ' || n, 'user' || n || '@example.com', n % 5 > 0, 'member', 18 + n % 60,
       timestamptz '2026-01-01' + n * interval '1 minute'
FROM generate_series(1, {USERS}) AS n
"""

# Every new user has an e-mail address of their own.
numbers = itertools.count()


@dataclass(frozen=True)
class Candidate:
    """An application, the directory that it is imported from, and what serves it."""

    application: str
    directory: Path
    server: Sequence[str] = UVICORN


Figures = dict[str, dict[str, list[float]]]


@dataclass
class Results:
    """One figure of each round, by endpoint and candidate."""

    # Seconds of CPU per request.
    costs: Figures = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    # Seconds that 99 of 100 answers did not exceed.
    latencies: Figures = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))


def requests(endpoint: str) -> Iterator[bytes]:
    """The requests of an endpoint, without an end."""
    if endpoint == READ_BY_ID:
        keys = random.Random(0).sample(range(1, USERS + 1), 500)
        return itertools.cycle([request("GET", f"/users/{key}") for key in keys])
    if endpoint == LIST:
        return itertools.cycle([request("GET", "/users")])
    return (request("POST", "/users", new_user(number)) for number in numbers)


def new_user(number: int) -> dict[str, Any]:
    return {"name": f"New user {number}", "email": f"new{number}@example.com", "age": 30}


@contextlib.contextmanager
def database(project: Path) -> Iterator[str]:
    """A private PostgreSQL with the project's tables and some users; its URL for asyncpg."""
    sys.path.insert(0, str(project))
    private_server = importlib.import_module("dev.postgres").temporary_server
    with private_server() as server:
        url = server.replace("://", "+asyncpg://", 1)
        migrate(project, url)
        execute(url, INSERT_USERS)
        execute(url, "VACUUM ANALYZE users")
        yield url


def measure(directory: Path, rounds: int, seconds: float, before: Path | None) -> Results:
    """Measure each candidate in every round, and the template in `before` as well."""
    projects = {engine: render(directory / engine, engine=engine) for engine in ("async", "sync")}
    candidates = {
        name: Candidate(f"benchmarks.{module}:app", TEMPLATE)
        for name, module in HAND_WRITTEN.items()
    }
    for name, (engine, server) in RENDERED.items():
        candidates[name] = candidate(projects[engine], server)
    if before is not None:
        for engine in ("async", "sync"):
            project = render(directory / f"{engine}-before", before, engine=engine)
            candidates[f"rendered, {engine}, before"] = candidate(project)
    with database(projects["async"]) as url:
        return in_turns(candidates, url, rounds, seconds)


def candidate(project: Path, server: Sequence[str] = UVICORN) -> Candidate:
    return Candidate(f"{project.name}.api.app:app", project / "src", server)


def migrate(project: Path, url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": "src", "DATABASE_URL": url}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)


def execute(url: str, statement: str) -> None:
    async def connect_and_execute() -> None:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        await connection.execute(statement)
        await connection.close()

    asyncio.run(connect_and_execute())


def compare_answers(services: dict[str, Service]) -> None:
    """Raises ValueError unless all candidates answer alike."""
    for path in ("/users/1", "/users"):
        expected = answer_of(services[SEED], path)
        for name, service in services.items():
            if (answer := answer_of(service, path)) != expected:
                raise ValueError(f"{name} answers {answer}, not {expected}")
            if (status := service.status("/users/999999")) != 404:
                raise ValueError(f"{name} answers {status} where there is no user")


def answer_of(service: Service, path: str) -> Any:
    """The answer. What a cursor looks like is each candidate's own affair."""
    answer = json.loads(service.get(path))
    return answer | {"next": bool(answer.get("next"))}


def in_turns(candidates: dict[str, Candidate], url: str, rounds: int, seconds: float) -> Results:
    results = Results()
    for number in range(1, rounds + 1):
        # New processes each time: of two with the same code, one may be a tenth slower for good.
        with serve_all(candidates, url) as services:
            for endpoint in ENDPOINTS:
                for name, cost in cpu_per_request(services, endpoint, seconds).items():
                    results.costs[endpoint][name].append(cost)
                for name in random.sample(list(services), len(services)):
                    latency = high_latency(services[name], endpoint, seconds)
                    results.latencies[endpoint][name].append(latency)
                    remove_new_users(endpoint, url)
        print(f"round {number} of {rounds}", file=sys.stderr)
    return results


@contextlib.contextmanager
def serve_all(candidates: dict[str, Candidate], url: str) -> Iterator[dict[str, Service]]:
    """All candidates at work, with open connections and filled caches."""
    with contextlib.ExitStack() as stack:
        services = {
            name: stack.enter_context(serve(each.application, each.directory, url, each.server))
            for name, each in candidates.items()
        }
        compare_answers(services)
        for endpoint in ENDPOINTS:
            for service in services.values():
                high_latency(service, endpoint, WARM_UP)
            remove_new_users(endpoint, url)
        yield services


def remove_new_users(endpoint: str, url: str) -> None:
    if endpoint == CREATE:
        execute(url, f"DELETE FROM users WHERE id > {USERS}")
        execute(url, "VACUUM users")


def cpu_per_request(
    services: dict[str, Service], endpoint: str, seconds: float
) -> dict[str, float]:
    """The candidates' costs, each measured in many short turns.

    The speed of a core that other machines use as well may double from one second to the next.
    """
    used, answered = dict.fromkeys(services, 0.0), dict.fromkeys(services, 0)
    for _ in range(TURNS):
        for name in random.sample(list(services), len(services)):
            service = services[name]
            before = service.cpu_seconds()
            sending = send_load(
                service.port,
                requests(endpoint),
                connections=CONNECTIONS,
                seconds=seconds / TURNS,
            )
            answered[name] += len(asyncio.run(sending).latencies)
            used[name] += service.cpu_seconds() - before
    return {name: used[name] / answered[name] for name in services}


def high_latency(service: Service, endpoint: str, seconds: float) -> float:
    load = asyncio.run(
        send_load(service.port, requests(endpoint), connections=MANY_CONNECTIONS, seconds=seconds)
    )
    return load.percentile(99)
