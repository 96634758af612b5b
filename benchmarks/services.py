"""The candidates: rendered projects and hand-written applications, each served by one process."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parents[1]
START_TIMEOUT = 30.0
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")

UVICORN = ("uvicorn", "--log-level", "warning", "--no-access-log")
GRANIAN = ("granian", "--interface", "asgi", "--log-level", "warning")

# The service has a core of its own; the load client and PostgreSQL share the others.
SERVICE_CORE, *OTHER_CORES = sorted(os.sched_getaffinity(0))


def render(directory: Path, template: Path = TEMPLATE, **answers: str) -> Path:
    """The project rendered there with these answers, and the defaults for the others."""
    return Path(
        cookiecutter(
            str(template),
            no_input=True,
            output_dir=str(directory),
            extra_context=answers,
        ),
    )


@dataclass(frozen=True)
class Service:
    """The processes of a candidate, at work."""

    port: int
    pid: int

    def pids(self) -> list[int]:
        """The server, and its workers where they are processes of their own."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def cpu_seconds(self) -> float:
        """What the processes have used so far, with all their threads, also those that ended."""
        return sum(time.clock_gettime(cpu_clock(pid)) for pid in self.pids())

    def memory(self) -> int:
        """The bytes of main memory that the processes occupy."""
        return PAGE_SIZE * sum(
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids()
        )

    def get(self, path: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            body: bytes = answer.read()
        return body

    def status(self, path: str) -> int:
        try:
            self.get(path)
        except HTTPError as error:
            return error.code
        return 200


def cpu_clock(pid: int) -> int:
    """The clock of a process, as clock_getcpuclockid() of Linux gives it.

    It counts nanoseconds, and /proc/PID/stat hundredths of a second.
    """
    return (~pid << 3) | 2


@contextmanager
def serve(
    application: str,
    directory: Path,
    database_url: str,
    server: Sequence[str] = UVICORN,
    cores: Set[int] = frozenset({SERVICE_CORE}),
) -> Iterator[Service]:
    """A server with the application of that name, which is imported from the directory."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", *server, "--port", str(port), application],
        cwd=directory,
        env={**os.environ, "DATABASE_URL": database_url},
    )
    try:
        os.sched_setaffinity(process.pid, cores)
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
