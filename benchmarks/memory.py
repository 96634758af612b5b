"""The memory of a rendered service, before and after many requests."""

import asyncio
from itertools import cycle, islice
from pathlib import Path

from .load import send_load
from .measurement import CONNECTIONS, CREATE, LIST, READ_BY_ID, database, requests
from .services import render, serve

WARM_UP = 10_000
REQUESTS = 100_000


def measure(directory: Path) -> dict[str, tuple[int, int]]:
    """Bytes after the warm-up, and after the requests, by engine."""
    found = {}
    for engine in ("async", "sync"):
        project = render(directory / f"{engine}-memory", engine=engine)
        application = f"{project.name}.api.app:app"
        with database(project) as url, serve(application, project / "src", url) as service:
            answer(service.port, WARM_UP)
            before = service.memory()
            answer(service.port, REQUESTS)
            found[engine] = (before, service.memory())
    return found


def answer(port: int, number: int) -> None:
    """Send so many reads, lists and creates."""
    streams = cycle([requests(endpoint) for endpoint in (READ_BY_ID, LIST, CREATE)])
    mixed = (next(stream) for stream in islice(streams, number))
    asyncio.run(send_load(port, mixed, connections=CONNECTIONS))
