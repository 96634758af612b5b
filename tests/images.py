"""Builds and runs the image of a project for each engine: `uv run python tests/images.py`, as root.

It needs no Docker and no registry: buildah builds with chroot isolation, on base images that are
made of Debian's packages here. It installs buildah and debootstrap if they are not there, so it
needs Debian or Ubuntu.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from faults.servers import PostgreSQL
from projects import TEMPLATE

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = {  # the file that says that a package of Debian is there
    "buildah": Path("/usr/bin/buildah"),
    "ca-certificates": CERTIFICATES,
    "debootstrap": Path("/usr/sbin/debootstrap"),
}
PYTHON = "3.11"  # of Debian 12
SLUG = "acme"
STARTED = time.monotonic()
UV = Path(os.environ.get("UV") or shutil.which("uv") or "uv")  # `uv run` names itself
# The server is PID 1, as in a container of Docker's, and the root file system is read-only.
AS_PID_1 = """
root=$1
shift
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
exec chroot --userspec=10001:10001 "$root" env -i --chdir=/app "$@"
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """The output of a command that succeeds; one that fails is shown, and ends the script."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


def install_tools() -> None:
    """Install what is missing, or end with what is missing."""
    if os.geteuid() != 0:
        sys.exit("Run this script as root: it makes file systems and mounts them.")
    if not UV.is_file() or UV.read_bytes()[:4] != b"\x7fELF":
        sys.exit(f"{UV} is not uv's own program, which goes into the image. Start with `uv run`.")
    missing = [package for package, file in PACKAGES.items() if not file.exists()]
    if missing and not shutil.which("apt-get"):
        sys.exit(f"Install these programs, since there is no apt-get: {', '.join(missing)}.")
    if missing:
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)


def make_base_images(directory: Path) -> None:
    """Local images with the names that the Dockerfile gives: Python, and uv."""
    root = directory / "debian"
    run("debootstrap", "--variant=minbase", "--include=python3,python3-venv", "bookworm", root)
    (root / "usr/bin/python").symlink_to("python3")
    (root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
    shutil.copy(CERTIFICATES, root / "etc/ssl/certs")
    tools = directory / "uv"
    tools.mkdir()
    shutil.copy(UV, tools / "uv")
    commit(root, f"docker.io/library/python:{PYTHON}-slim", f"SSL_CERT_FILE={CERTIFICATES}")
    commit(tools, "docker.io/astral/uv:0.13")


def commit(root: Path, name: str, *environment: str) -> None:
    container = run("buildah", "from", "scratch").strip()
    run("buildah", "add", "--quiet", container, root, "/")
    for variable in environment:
        run("buildah", "config", "--env", variable, container)
    run("buildah", "commit", "--quiet", container, name)
    run("buildah", "rm", container)


def render(directory: Path, engine: str) -> Path:
    answers = [f"project_slug={SLUG}", f"engine={engine}", f"python_version={PYTHON}"]
    command = ["cookiecutter", "--no-input", "--default-config", "-o", str(directory)]
    run(sys.executable, "-m", *command, str(TEMPLATE), *answers)
    return directory / SLUG


def build(project: Path, image: str) -> subprocess.CompletedProcess[str]:
    # Docker's format: the other one has no health check.
    command = ["buildah", "bud", "--format", "docker", "--isolation", "chroot", "--pull-never"]
    command += ["--quiet", "-t", image, "."]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def container(image: str) -> Iterator[str]:
    name = run("buildah", "from", "--pull-never", image).strip()
    try:
        yield name
    finally:
        run("buildah", "rm", name)


def in_container(name: str, environment: dict[str, str], *command: str) -> list[str]:
    variables = [option for pair in environment.items() for option in ("--env", "=".join(pair))]
    return ["buildah", "run", "--isolation", "chroot", *variables, name, "--", *command]


def fetch(path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:8000{path}", timeout=3) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_for(path: str, status: int) -> None:
    deadline = time.monotonic() + 20
    while (found := fetch(path)) != status:
        if time.monotonic() > deadline:
            sys.exit(f"{path} answers {found}, not {status}")
        time.sleep(0.1)


def descendants(pid: int) -> list[int]:
    """The processes below one, each after its parent; any of its threads may have started them."""
    listed = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(child) for thread in listed for child in thread]
    return [process for child in children for process in [child, *descendants(child)]]


def as_pid_1(name: str, environment: dict[str, str], *command: str) -> list[str]:
    root = run("buildah", "mount", name).strip()
    named = dict(pair.split("=", 1) for pair in configuration(name)["Env"])
    variables = ["=".join(pair) for pair in (named | environment).items()]
    namespaces = ["unshare", "--pid", "--mount", "--fork", "--kill-child"]
    return [*namespaces, "sh", "-ec", AS_PID_1, "sh", root, *variables, *command]


def serve(
    image: str,
    environment: dict[str, str],
    starting: Callable[..., list[str]] = in_container,
) -> None:
    """Start the image's own command, probe it, and stop it as an orchestrator does."""
    # A container of buildah's runs one command at a time; all share the machine's network.
    with container(image) as name, container(image) as prober:
        image_says = configuration(name)
        process = subprocess.Popen(
            starting(name, environment, *image_says["Cmd"]),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            for path in ("/livez", "/readyz", "/users"):
                wait_for(path, 200)
            server = descendants(process.pid)[-1]
            status = Path(f"/proc/{server}/status").read_text()
            assert "Uid:\t10001\t" in status, status
            assert starting is in_container or f"NSpid:\t{server}\t1\n" in status, status
            say("livez, readyz and users answer 200, as user 10001")
            run(*in_container(prober, {}, *image_says["Healthcheck"]["Test"][1:]))
            say("the health check passes")
        finally:
            started = time.monotonic()
            os.kill([process.pid, *descendants(process.pid)][-1], signal.SIGTERM)
            output, _ = process.communicate(timeout=35)
        say(f"SIGTERM ends it in {time.monotonic() - started:.1f} s, status {process.returncode}")
        assert b"Application shutdown complete" in output, output.decode()


def configuration(name: str) -> dict[str, Any]:
    """What the Dockerfile says of the image that a container is made from."""
    found: dict[str, Any] = json.loads(run("buildah", "inspect", name))["Docker"]["config"]
    return found


def check_engine(directory: Path, engine: str) -> None:
    project = render(directory / engine, engine)
    image = f"localhost/{SLUG}-{engine}"
    refused = build(project, image)
    assert refused.returncode, "an image was built without uv.lock"
    [reason] = {
        line for line in refused.stderr.splitlines() if line.startswith("uv.lock is missing")
    }
    say(f"{engine}: without uv.lock: {reason}")
    run(UV, "lock", "--quiet", cwd=project)
    built = build(project, image)
    if built.returncode:
        sys.exit(built.stdout + built.stderr)
    say(f"{engine}: built")
    server = PostgreSQL()
    server.start()
    with contextlib.closing(server), container(image) as name:
        psycopg.connect(server.url()).close()
        environment = {"DATABASE_URL": server.url()}
        run(*in_container(name, environment, "alembic", "upgrade", "head"))
        say(f"{engine}: migrated")
        assert configuration(name)["User"] == "10001:10001"
        serve(image, environment)
        say(f"{engine}: HOME of another user")
        serve(image, environment | {"HOME": "/root"})
        say(f"{engine}: PID 1, on a read-only root file system")
        serve(image, environment, as_pid_1)


def main() -> None:
    install_tools()
    with tempfile.TemporaryDirectory(prefix="images-") as name:
        make_base_images(Path(name))
        say("base images made")
        for engine in ("async", "sync"):
            check_engine(Path(name), engine)


if __name__ == "__main__":
    main()
