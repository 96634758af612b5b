"""The settings of a project: URLs that mean what they mean to libpq, refusals, files of secrets."""

import asyncio
import contextlib
import importlib
import os
import re
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, unquote

import psycopg
import pytest
from cookiecutter.main import cookiecutter
from hypothesis import example, given, settings
from hypothesis import strategies as st
from projects import TEMPLATE
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.exc import SQLAlchemyError

pytestmark = pytest.mark.slow

RAW = st.text("ab1:@/?#[]%&=+, ;é\\", max_size=6)
WORD = RAW | RAW.map(lambda text: quote(text, safe=""))
HOST = st.sampled_from(["", "h", "a.b", "127.0.0.1", "[::1]", "%2Frun%2Fpg", "h%2Ci"]) | WORD
PORT = st.sampled_from(["", ":", ":1", ":65535", ":65536", ":0", ":%31", ":x"])
PARAMETER = st.sampled_from(
    ["host=", "port=", "user=", "password=", "dbname=", "application_name="]
).flatmap(lambda name: WORD.map(lambda word: name + word)) | st.sampled_from(
    [
        "host=/run/pg",
        "port=5433",
        "sslmode=require",
        "sslnegotiation=direct",
        "target_session_attrs=standby",
        "ssl=true",
        "x",
    ]
)
# Letters that no message has next to each other, and each character with a meaning in a URL.
LETTERS = "QZXJ"
PASSWORD = st.text(LETTERS + "7:@/?#[]%&=+,;é\\'\" $!~|^`{}<>*()-_.", min_size=1, max_size=12)
REFUSED = [
    "",
    "nonsense QZXJ",
    "mysql://u:QZXJ@h/d",
    "postgresql:/u:QZXJ@h/d",
    "postgresql://",
    "postgresql://u:QZ@XJ@h/d",
    "postgresql://u:QZ/XJ@h/d",
    "postgresql://u:QZ?XJ@h/d",
    "postgresql://u:QZ#XJ@h/d",
    "postgresql://u:QZ[XJ@h/d",
    "postgresql://u:QZ]XJ@h/d",
    "postgresql://u:QZ%XJ@h/d",
    "postgresql://u:QZ%FFXJ@h/d",
    "postgresql://u:QZ%00XJ@h/d",
    "postgresql://u:QZ XJ@h/d",
    "postgresql://u:QZ\nXJ@h/d",
    "postgresql://u:QZXJ@h:QZXJ/d",
    "postgresql://u:QZXJ@h:0/d",
    "postgresql://u:QZXJ@h:65536/d",
    "postgresql://u:QZXJ@h,/d",
    "postgresql://u:QZXJ@h/d?QZXJ",
    "postgresql://u:QZXJ@h/d?sslmode=QZXJ",
    "postgresql://u:QZXJ@h/d?sslmode=require&sslmode=disable",
    "postgresql://u:QZXJ@h/d?target_session_attrs=QZXJ",
]
INSTEAD = {
    "connect_timeout=10": "DATABASE_CONNECT_TIMEOUT",
    "connection_limit=5": "DATABASE_POOL_SIZE",
    "pgbouncer=true": "DATABASE_PGBOUNCER=true",
    "pool_timeout=10": "DATABASE_POOL_TIMEOUT",
    "schema=app": "options=-csearch_path%3D",
    "sslaccept=strict": "sslmode=",
    "ssl=true": "sslmode=require",
    "statement_cache_size=0": "DATABASE_PGBOUNCER=true",
    "prepared_statement_cache_size=0": "DATABASE_PGBOUNCER=true",
}


@dataclass(frozen=True)
class Layer:
    """The settings and the database layer of a rendered project."""

    slug: str
    engine: str

    def module(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.slug}.{name}")

    def settings(self, url: str, **values: Any) -> Any:
        return self.module("settings").Settings(database_url=url, **values)

    def accepted(self, url: str) -> str | None:
        """The URL for the driver; None if it is refused."""
        try:
            found = self.settings(url).database_url.get_secret_value()
        except self.module("settings").SettingsError:
            return None
        assert isinstance(found, str)
        return found

    def refusal(self, url: str) -> str:
        """What is shown of a refusal, wherever."""
        with pytest.raises(self.module("settings").SettingsError) as caught:
            self.settings(url)
        assert str(caught.value).startswith("DATABASE_URL")
        assert "\n" not in str(caught.value)
        return "".join(traceback.format_exception_only(caught.value)) + repr(caught.value)

    def connect(self, url: str) -> None:
        database = self.module("database").Database(self.settings(url))
        # What tracing shows has no password.
        assert all(engine.url.password is None for engine in database.engines)
        if self.engine == "async":
            asyncio.run(database.ping())
        else:
            database.ping()


@pytest.fixture(scope="module", params=["async", "sync"])
def layer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Layer:
    path = cookiecutter(
        str(TEMPLATE),
        no_input=True,
        accept_hooks=False,  # only the package is used
        output_dir=str(tmp_path_factory.mktemp(request.param)),
        extra_context={"project_slug": f"urls_{request.param}", "engine": request.param},
    )
    sys.path.insert(0, str(Path(path, "src")))
    return Layer(Path(path).name, request.param)


@dataclass
class Doorman:
    """A server that asks for the password in clear text, and ends the connection."""

    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    heard: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with (
                contextlib.suppress(OSError, struct.error),
                connection,
                connection.makefile("rb") as reader,
            ):
                self.listen_to(connection, reader)

    def listen_to(self, connection: socket.socket, reader: Any) -> None:
        while True:
            length, code = struct.unpack("!II", reader.read(8))
            if code not in {80_877_103, 80_877_104}:  # TLS, GSS
                break
            connection.sendall(b"N")
        words = reader.read(length - 8).decode().split("\0")
        heard = dict(zip(words[::2], words[1::2], strict=False))
        connection.sendall(struct.pack("!cII", b"R", 8, 3))
        _, length = struct.unpack("!cI", reader.read(5))
        password = reader.read(length - 4).rstrip(b"\0").decode()
        self.heard = {"user": heard["user"], "dbname": heard["database"], "password": password}


@pytest.fixture(scope="module")
def doorman() -> Iterator[Doorman]:
    doorman = Doorman()
    threading.Thread(target=doorman.serve, daemon=True).start()
    yield doorman
    doorman.listener.shutdown(socket.SHUT_RDWR)
    doorman.listener.close()


def pieces(password: str) -> set[str]:
    """What must not be shown: three characters that are not the message's own."""
    found = {password[at : at + 3] for at in range(len(password) - 2)}
    return {piece for piece in found if set(piece) & set(LETTERS)}


def assert_hidden(password: str, shown: str) -> None:
    assert not [piece for piece in pieces(password) if piece.lower() in shown.lower()], shown


@settings(max_examples=150, deadline=None, derandomize=True)
@given(password=PASSWORD, encoded=st.booleans(), place=st.sampled_from(["netloc", "query"]))
@example(password="a+b", encoded=False, place="query")
@example(password="a&b=c", encoded=True, place="query")
@example(password="QZ;XJ", encoded=False, place="query")
@example(password="QZ@XJ/", encoded=False, place="netloc")
@example(password="QZ[XJ", encoded=False, place="netloc")
def test_the_driver_gets_the_very_password_or_it_is_refused_unseen(
    layer: Layer, doorman: Doorman, password: str, encoded: bool, place: str
) -> None:
    written = quote(password, safe="") if encoded else password
    netloc, query = (f":{written}", "") if place == "netloc" else ("", f"?password={written}")
    url = f"postgresql://ann{netloc}@127.0.0.1:{doorman.port}/db{query}"
    accepted = layer.accepted(url)
    if accepted is None:
        assert not encoded
        assert_hidden(password, layer.refusal(url))
        return
    doorman.heard = {}
    with pytest.raises(SQLAlchemyError) as caught:  # the server is none
        layer.connect(accepted)
    expected = {
        "user": "ann",
        "dbname": "db",
        "password": password if encoded else unquote(written),
    }
    assert doorman.heard == expected, str(caught.value)
    assert_hidden(password, str(caught.value))
    assert_hidden(password, repr(layer.settings(url)))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(words=st.fixed_dictionaries(dict.fromkeys(("user", "password", "dbname"), PASSWORD)))
def test_an_encoded_url_is_accepted(layer: Layer, doorman: Doorman, words: dict[str, str]) -> None:
    """Whatever the user, the password and the name of the database are."""
    user, password, database = (
        quote(words[name], safe="") for name in ("user", "password", "dbname")
    )
    url = layer.accepted(f"postgresql://{user}:{password}@127.0.0.1:{doorman.port}/{database}")
    assert url is not None
    with pytest.raises(SQLAlchemyError):  # the server is none
        layer.connect(url)
    assert doorman.heard == words


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_cannot_be_used_is_refused_without_the_password(layer: Layer, url: str) -> None:
    shown = layer.refusal(url)
    assert_hidden("QZXJ", shown)
    assert not {"QZ", "XJ"} & set(shown.replace("'", " ").split())


@pytest.mark.parametrize("parameter", INSTEAD)
def test_a_parameter_of_others_is_refused_with_what_to_write(layer: Layer, parameter: str) -> None:
    shown = layer.refusal(f"postgresql://u:QZXJ@h/d?{parameter}")
    assert INSTEAD[parameter] in shown
    assert_hidden("QZXJ", shown)


def test_channel_binding_is_refused_where_the_driver_cannot_do_it(layer: Layer) -> None:
    url = "postgresql://u:QZXJ@h/d?channel_binding=require"
    if layer.engine == "sync":
        assert layer.accepted(url) == url
    else:
        assert "sslmode=verify-full&sslrootcert=system" in layer.refusal(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+anything"])
def test_the_schemes_of_providers_and_other_libraries_are_accepted(
    layer: Layer, scheme: str
) -> None:
    assert layer.accepted(f"{scheme}://u:p@h/d") == "postgresql://u:p@h/d"


@st.composite
def urls(draw: st.DrawFn) -> str:
    user = draw(st.just("") | WORD)
    password = draw(st.just("") | WORD.map(lambda word: f":{word}"))
    places = draw(st.lists(st.tuples(HOST, PORT).map("".join), min_size=1, max_size=3))
    database = draw(st.just("") | WORD.map(lambda word: f"/{word}"))
    parameters = draw(st.lists(PARAMETER, max_size=3))
    credentials = f"{user}{password}@" if user or password else draw(st.sampled_from(["", "@"]))
    query = f"?{'&'.join(parameters)}" if parameters else ""
    return f"postgresql://{credentials}{','.join(places)}{database}{query}"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(url=urls())
@example(url="postgresql://u@%2Frun%2Fpg:5433/db")
@example(url="postgresql://u@h:5433/db?host=/run/pg")
@example(url="postgresql://u@/db?host=/run/pg&port=5433")
@example(url="postgresql://h/db?application_name=a+b")
@example(url="postgresql://u:1/x@h/db")
@example(url="postgresql://u:a@b@h/db")
@example(url="postgresql://u:s[ecret]x@h/d")
@example(url="postgresql://u@[::1]:5433,h:5434/d")
@example(url="postgresql://u@:5433/d")
@example(url="postgresql://u@h,i:5434/d")
@example(url="postgresql://u@h,i/d?port=5433")
@example(url="postgresql://u@/d?host=h,i&port=5433,5434")
def test_an_accepted_url_means_what_it_means_to_libpq(layer: Layer, url: str) -> None:
    accepted = layer.accepted(url)
    if accepted is None:
        return
    try:
        theirs = conninfo_to_dict(accepted)
    except psycopg.Error as error:
        pytest.fail(f"libpq refuses it: {error}")
    layer.module("database").Database(layer.settings(url))
    if layer.engine == "sync" or re.search("[?&](host|user|password)=[^,]*$", accepted):
        return  # asyncpg reads odd words of the query in its own way
    hosts = str(theirs.get("host") or "").split(",")
    ports = str(theirs.get("port") or "").split(",")
    numbers = [int(port or 5432) for port in ports * (len(hosts) if len(ports) == 1 else 1)]
    asked = asked_by_asyncpg(layer, accepted)
    words = {name: str(word) for name, word in theirs.items() if word}
    assert all(name for (name, _), _ in asked)
    if hosts != [""]:  # else the default, which is the system's
        assert [place for place, _ in asked] == list(zip(hosts, numbers, strict=True))
    for _, who in asked:
        for name in {"user", "password", "dbname"} & words.keys():
            assert who.get(name) == words[name]


def asked_by_asyncpg(layer: Layer, url: str) -> list[tuple[tuple[str, int], dict[str, str]]]:
    """The places that asyncpg would connect to, in their order, and as whom."""
    utils: Any = importlib.import_module("asyncpg.connect_utils")
    found: list[tuple[tuple[str, int], dict[str, str]]] = []

    async def connect_addr(*, addr: Any, params: Any, **_: Any) -> Any:
        place = (addr[0], addr[1]) if isinstance(addr, tuple) else socket_of(addr)
        password = params.password
        who = {"user": params.user, "dbname": params.database, "password": password}
        found.append((place, who))
        raise ConnectionRefusedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "_connect_addr", connect_addr)
        for name in [name for name in os.environ if name.startswith("PG")]:
            patch.delenv(name)
        patch.setenv("HOME", "/nonexistent")
        with contextlib.suppress(SQLAlchemyError):
            layer.connect(url)
    return found


def socket_of(path: str) -> tuple[str, int]:
    directory, _, port = path.rpartition("/.s.PGSQL.")
    return directory or "/", int(port)


def test_only_the_settings_own_files_are_read(
    layer: Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else lies in the directory that SECRETS_DIRECTORY names."""
    (tmp_path / "database_url").write_text("postgresql://u:p@h/d\n")
    (tmp_path / "DATABASE_POOL_TIMEOUT").write_text("2.5")
    (tmp_path / "large").write_bytes(b"x" * 17_000_000)
    (tmp_path / "closed").write_text("closed")
    (tmp_path / "closed").chmod(0)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "waits")  # for ever, if it is opened
    monkeypatch.setenv("SECRETS_DIRECTORY", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("DATABASE_")]:
        monkeypatch.delenv(name)
    opened: set[str] = set()
    sys.addaudithook(lambda event, args: opened.add(str(args[0])) if event == "open" else None)
    found = layer.module("settings").Settings()
    assert found.database_url.get_secret_value() == "postgresql://u:p@h/d"
    assert found.database_pool_timeout == 2.5
    monkeypatch.setenv("DATABASE_POOL_TIMEOUT", "3.5")
    assert layer.module("settings").Settings().database_pool_timeout == 3.5
    layer.module("application_settings").ApplicationSettings()
    ours = {Path(name).name for name in opened if name.startswith(str(tmp_path))}
    assert ours == {"database_url", "DATABASE_POOL_TIMEOUT"}


def test_wrong_settings_are_one_line_that_names_each(
    layer: Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_error = layer.module("settings").SettingsError
    for name in [name for name in os.environ if name.startswith("DATABASE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SECRETS_DIRECTORY", str(tmp_path / "missing"))
    with pytest.raises(settings_error) as caught:
        layer.module("settings").Settings()
    assert str(caught.value) == "DATABASE_URL: Field required"
    monkeypatch.setenv("DATABASE_URL", "mysql://u:QZXJ@h/d")
    monkeypatch.setenv("DATABASE_POOL_SIZE", "QZXJ")
    monkeypatch.setenv("DATABASE_PASSWORD_FILE", "/nonexistent/QZXJ")
    with pytest.raises(settings_error) as caught:
        layer.module("settings").Settings()
    shown = str(caught.value)
    for name in ("DATABASE_URL must ", "DATABASE_POOL_SIZE: ", "DATABASE_PASSWORD_FILE: "):
        assert name in shown
    assert_hidden("QZXJ", shown)
    assert "\n" not in shown
