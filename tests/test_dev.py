"""The private PostgreSQL: for root and for users, durable or gone without a trace."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from launcher import launcher
from projects import BakedProject

pytestmark = pytest.mark.slow

# Says where its server is, and holds it until its standard input ends. It becomes another user by
# itself, since that user may not be able to start this Python.
HOLD = """
import os, pwd, sys
from dev.postgres import {server}
if {user!r} == "nobody":
    entry = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
with {server}() as url:
    print(url, flush=True)
    sys.stdin.read()
"""
ROOT = os.geteuid() == 0
USERS = ["root", "nobody"] if ROOT else ["user"]


@pytest.fixture
def checkout(bake: Callable[..., BakedProject]) -> Iterator[Path]:
    """The launcher alone, in a directory that anybody reaches, below a name with spaces."""
    directory = Path(tempfile.mkdtemp(prefix="a check out ", dir="/tmp"))
    shutil.copytree(bake().path / "dev", directory / "dev")
    (directory / "cache").mkdir()
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)
    yield directory
    shutil.rmtree(directory)


def start(checkout: Path, code: str, **environment: str) -> subprocess.Popen[str]:
    ours = ("TEST_DATABASE_", "POSTGRES_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=checkout,
        env=inherited | {"XDG_CACHE_HOME": str(checkout / "cache")} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def hold(
    checkout: Path, server: str, user: str = USERS[0], **environment: str
) -> subprocess.Popen[str]:
    return start(checkout, HOLD.format(server=server, user=user), **environment)


def directory_of(holder: subprocess.Popen[str]) -> Path:
    assert holder.stdout
    url = holder.stdout.readline()
    assert "host=" in url, holder.communicate()[1]
    return Path(url.partition("host=")[2].partition("&")[0])


def processes_of(directory: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if str(directory) in command:
            found.append(command)
    return found


def shared_memory() -> set[str]:
    segments = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {line.split()[1] for line in segments} | {
        path.name for path in Path("/dev/shm").iterdir()
    }


def await_end_of(directory: Path) -> None:
    deadline = time.monotonic() + 10
    while directory.exists() or processes_of(directory):
        assert time.monotonic() < deadline, (directory.exists(), processes_of(directory))
        time.sleep(0.05)


@pytest.mark.parametrize("user", USERS)
def test_two_throwaway_servers_at_once_leave_nothing(checkout: Path, user: str) -> None:
    holders = [hold(checkout, "temporary_server", user) for _ in range(2)]
    directories = [directory_of(holder) for holder in holders]
    assert len(set(directories)) == 2
    for holder, directory in zip(holders, directories, strict=True):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert processes_of(directory)
        holder.communicate()
        assert holder.returncode == 0
        assert not directory.exists()
        assert not processes_of(directory)


@pytest.mark.parametrize("server", ["temporary_server", "development_server"])
def test_nothing_survives_a_killed_owner(checkout: Path, server: str) -> None:
    before = shared_memory()
    holder = hold(checkout, server)
    directory = directory_of(holder)
    postmaster = (
        directory if server == "temporary_server" else checkout / ".postgres"
    ) / "data/postmaster.pid"
    segment = postmaster.read_text().splitlines()[6].split()[1]
    assert segment in shared_memory()
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    await_end_of(directory)
    assert segment not in shared_memory() - before


def test_development_data_are_kept_and_shared(checkout: Path) -> None:
    first = hold(checkout, "development_server")
    directory = directory_of(first)
    second = hold(checkout, "development_server")
    assert directory_of(second) == directory
    psql("CREATE TABLE kept AS SELECT 42 AS answer", directory)
    first.communicate()
    # The server lasts as long as its last user.
    assert psql("SELECT answer FROM kept", directory) == "42"
    second.communicate()
    await_end_of(directory)
    third = hold(checkout, "development_server")
    directory = directory_of(third)
    assert psql("SELECT answer FROM kept", directory) == "42"
    assert psql("SHOW fsync", directory) == "on"
    third.communicate()
    await_end_of(directory)


def psql(statement: str, directory: Path) -> str:
    url = f"postgresql://postgres@/postgres?host={directory}"
    return subprocess.check_output(
        [launcher.find_binaries() / "psql", url, "-Atqc", statement], text=True
    ).strip()


def test_ctrl_c_leaves_the_server_to_the_teardown(checkout: Path) -> None:
    code = """
import os, signal, socket, time
from dev.postgres import temporary_server
os.setpgid(0, 0)
with temporary_server() as url:
    directory = url.partition("host=")[2].partition("&")[0]
    try:
        print(url, flush=True)
        time.sleep(30)
    except KeyboardInterrupt:
        time.sleep(0.5)
        socket.socket(socket.AF_UNIX).connect(f"{directory}/.s.PGSQL.5432")
        print("still there")
"""
    holder = start(checkout, code)
    directory = directory_of(holder)
    os.killpg(holder.pid, signal.SIGINT)
    assert holder.communicate()[0] == "still there\n"
    assert not directory.exists()


@pytest.mark.skipif(not ROOT, reason="only root lets another user run the server")
def test_roots_private_binaries_are_copied_and_keep_their_modes(
    checkout: Path, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    package = launcher.find_binaries().parents[1]
    for name in (f"{package.name}/pginstall", f"{package.name}.libs"):
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, private / name)
    private.chmod(0o700)
    modes = {path: path.stat().st_mode for path in (*private.parents, private, *private.rglob("*"))}
    copied = private / package.name / "pginstall" / "bin"
    holder = hold(checkout, "temporary_server", POSTGRES_BIN=str(copied))
    directory = directory_of(holder)
    assert any(f"{directory}/{package.name}/" in command for command in processes_of(directory))
    holder.communicate()
    assert not directory.exists()
    assert {path: path.stat().st_mode for path in modes} == modes


@pytest.mark.skipif(not ROOT, reason="only root lets another user run the server")
def test_data_that_the_server_cannot_reach_in_the_project_are_outside(checkout: Path) -> None:
    code = "from dev.postgres import development_directory; print(development_directory())"
    assert start(checkout, code).communicate()[0] == f"{checkout}/.postgres\n"
    checkout.chmod(0o700)
    for home, parent in (("", "/var/lib"), ("/somewhere", "/somewhere")):
        outside = Path(start(checkout, code, XDG_STATE_HOME=home).communicate()[0].strip())
        assert outside.parent == Path(parent)
    assert stat.S_IMODE(checkout.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "directory",
    [None, *Path("/usr/lib/postgresql").glob("*/bin")],
    ids=lambda directory: f"postgresql-{directory.parent.name}" if directory else "default",
)
def test_text_is_utf8_and_sorts_by_code_point(checkout: Path, directory: Path | None) -> None:
    environment = {"POSTGRES_BIN": str(directory)} if directory else {}
    holder = hold(checkout, "temporary_server", **environment)
    server = directory_of(holder)
    assert psql("SELECT 'B' < 'a' AND 'z' < 'é'", server) == "t"
    assert psql("SHOW server_encoding", server) == "UTF8"
    if int(psql("SHOW server_version_num", server)) >= 170000:
        assert psql("SELECT upper('é')", server) == "É"
    holder.communicate()


def test_a_given_server_wins(checkout: Path) -> None:
    url = "postgresql://somebody@somewhere/database"
    holder = hold(checkout, "temporary_server", TEST_DATABASE_URL=url)
    assert holder.communicate()[0] == f"{url}\n"


def test_without_binaries_one_message_says_what_to_do(checkout: Path) -> None:
    code = "import sys; sys.argv = ['dev', 'true']; from dev.__main__ import main; sys.exit(main())"
    holder = start(checkout, code, POSTGRES_BIN="/nowhere")
    output, errors = holder.communicate()
    assert (holder.returncode, output) == (1, "")
    for way in ("uv sync", "POSTGRES_BIN", "TEST_DATABASE_URL"):
        assert way in errors
    assert "Traceback" not in errors


def test_data_of_another_version_are_refused(checkout: Path) -> None:
    holder = hold(checkout, "development_server")
    directory = directory_of(holder)
    holder.communicate()
    await_end_of(directory)
    version = checkout / ".postgres" / "data" / "PG_VERSION"
    made_by = version.read_text().strip()
    version.write_text("9\n")
    holder = hold(checkout, "development_server")
    errors = holder.communicate()[1]
    assert "made by PostgreSQL 9" in errors
    assert f"is {made_by}." in errors


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "/dev/null", "XDG_CACHE_HOME": ""},
        {"XDG_CACHE_HOME": "/dev/null/cache"},
        {"LC_ALL": "odd", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_server_starts_without_a_cache_and_in_any_locale(
    checkout: Path, environment: dict[str, str]
) -> None:
    directory = checkout.rename(checkout.with_name(f"{checkout.name} é"))
    try:
        for server in ("temporary_server", "development_server"):
            holder = start(directory, HOLD.format(server=server, user=""), **environment)
            url, said = holder.communicate("")
            assert url.startswith("postgresql://"), said
        while (directory / ".postgres/data/postmaster.pid").exists():
            time.sleep(0.05)
    finally:
        directory.rename(checkout)


def test_a_failing_initdb_is_one_message(checkout: Path) -> None:
    binaries = checkout / "binaries"
    binaries.mkdir(mode=0o777)
    for name, line in (
        ("postgres", "echo postgres x 18.6"),
        ("initdb", "echo no room >&2; exit 1"),
    ):
        (binaries / name).write_text(f"#!/bin/sh\n{line}\n")
        (binaries / name).chmod(0o755)
    code = HOLD.format(server="temporary_server", user="")
    _, said = start(checkout, code, POSTGRES_BIN=str(binaries)).communicate("")
    assert said.rstrip().splitlines()[-2:] == [
        "dev.postgres.ServerError: initdb failed:",
        "no room",
    ]


@pytest.mark.parametrize("command", ["test", "lint", "revision", "upgrade", "psql"])
def test_the_help_lists_the_commands(bake: Callable[..., BakedProject], command: str) -> None:
    assert f"  ./run {command} " in bake().run("dev", "--help")


def test_the_script_hands_over_to_uv(bake: Callable[..., BakedProject], tmp_path: Path) -> None:
    """From any directory, with the developer's settings and the words as they are."""
    project = bake().path
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "$UV_ENV_FILE" "$PWD"\nprintf "<%s>" "$@"\n')
    uv.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/bin:/usr/bin"}
    for expected in ("", ".env"):
        if expected:
            (project / ".env").touch()
        done = subprocess.run(
            [project / "run", "revision", "add a b"],
            cwd="/",
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        words = "<run><python><-m><dev><revision><add a b>"
        assert done.stdout == f"{expected} {project}\n{words}"


def test_the_checks_need_no_server(bake: Callable[..., BakedProject]) -> None:
    project = bake()
    environment = {"POSTGRES_BIN": "/nowhere"}
    for command in (["lint"], ["test", "--version"]):
        done = subprocess.run(
            [sys.executable, "-m", "dev", *command],
            cwd=project.path,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_lint_stops_at_what_it_finds(bake: Callable[..., BakedProject]) -> None:
    project = bake()
    (project.path / "dev" / "seed.py").write_text("import os\n")
    with pytest.raises(AssertionError, match="F401"):
        project.run("dev", "lint")
