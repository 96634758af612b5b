"""CPU time per request of each candidate, measured in turns, so that a slow minute slows all."""

import asyncio
import contextlib
import importlib
import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import asyncpg

from .load import send_load
from .services import TEMPLATE, Service, render, serve

USERS = 1000
ENDPOINTS = {
    "read by id": [f"/users/{n}" for n in random.Random(0).sample(range(1, USERS + 1), 500)],
    "list of 20": ["/users"],
}
SEED = "seed pattern"
SEED_AGAIN = "seed pattern again (the noise)"
RENDERED = {"rendered, async": "async", "rendered, sync": "sync"}
HAND_WRITTEN = {
    SEED: "seed_pattern",
    SEED_AGAIN: "seed_pattern",
    "FastAPI and asyncpg by hand": "raw_asyncpg",
}

INSERT_USERS = f"""
INSERT INTO users (name, email, is_active, role, age, created_at)
SELECT 'User ' || n, 'user' || n || '@example.com', n % 5 > 0, 'member', 18 + n % 60,
       timestamptz '2026-01-01' + n * interval '1 minute'
FROM generate_series(1, {USERS}) AS n
"""

# Seconds of CPU per request, one of each round, by endpoint and candidate.
Costs = dict[str, dict[str, list[float]]]


def measure(directory: Path, rounds: int, seconds: float) -> Costs:
    """Serves all candidates from one private PostgreSQL, and measures each in every round."""
    projects = {
        name: render(directory / engine, engine=engine) for name, engine in RENDERED.items()
    }
    sys.path.insert(0, str(projects["rendered, async"]))
    private_server = importlib.import_module("dev.postgres").temporary_server
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(private_server()).replace("://", "+asyncpg://", 1)
        migrate(projects["rendered, async"], url)
        asyncio.run(fill(url))
        services = {
            name: stack.enter_context(serve(f"benchmarks.{module}:app", TEMPLATE, url))
            for name, module in HAND_WRITTEN.items()
        }
        for name, project in projects.items():
            application = f"{project.name}.api.app:app"
            services[name] = stack.enter_context(serve(application, project / "src", url))
        compare_answers(services)
        return in_turns(services, rounds, seconds)


def migrate(project: Path, url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": "src", "DATABASE_URL": url}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, cwd=project, env=environment, check=True)


async def fill(url: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute(INSERT_USERS)
    await connection.execute("VACUUM ANALYZE users")
    await connection.close()


def compare_answers(services: dict[str, Service]) -> None:
    """Raises ValueError unless all candidates answer with the same JSON."""
    for paths in ENDPOINTS.values():
        expected = json.loads(services[SEED].get(paths[0]))
        for name, service in services.items():
            if (answer := json.loads(service.get(paths[0]))) != expected:
                raise ValueError(f"{name} answers {answer}, not {expected}")


def in_turns(services: dict[str, Service], rounds: int, seconds: float) -> Costs:
    costs: Costs = {endpoint: defaultdict(list) for endpoint in ENDPOINTS}
    for number in range(rounds + 1):
        for endpoint, paths in ENDPOINTS.items():
            for name in random.sample(list(services), len(services)):
                service = services[name]
                before = service.cpu_seconds()
                answered = asyncio.run(send_load(service.port, paths, seconds))
                cost = (service.cpu_seconds() - before) / answered
                if number > 0:  # the first round opens connections and fills caches
                    costs[endpoint][name].append(cost)
        print(f"round {number} of {rounds}", file=sys.stderr)
    return costs
