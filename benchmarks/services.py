"""The candidates: rendered projects and hand-written applications, each served by one process."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parents[1]
START_TIMEOUT = 30.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# The service has a core of its own; the load client and PostgreSQL share the others.
SERVICE_CORE, *OTHER_CORES = sorted(os.sched_getaffinity(0))


def render(directory: Path, **answers: str) -> Path:
    """The project rendered there with these answers, and the defaults for the others."""
    return Path(
        cookiecutter(
            str(TEMPLATE),
            no_input=True,
            output_dir=str(directory),
            extra_context=answers,
        ),
    )


@dataclass(frozen=True)
class Service:
    """One process of a candidate, at work."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """What the process has used so far, in user and system mode, with all its threads."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / TICKS_PER_SECOND

    def get(self, path: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            body: bytes = answer.read()
        return body


@contextmanager
def serve(application: str, directory: Path, database_url: str) -> Iterator[Service]:
    """Uvicorn with the application of that name, which is imported from the directory."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--log-level", "warning", "--no-access-log"]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", application, *options],
        cwd=directory,
        env={**os.environ, "DATABASE_URL": database_url},
    )
    try:
        os.sched_setaffinity(process.pid, {SERVICE_CORE})
        wait_until_listening(port, process)
        yield Service(port, process.pid)
    finally:
        process.terminate()
        process.wait()


def wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < give_up:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the service did not start: {process.args!r}")
