"""The URLs that a project accepts mean what they mean to libpq."""

from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import psycopg
import pytest
from cookiecutter.main import cookiecutter
from hypothesis import example, given, settings
from hypothesis import strategies as st
from projects import TEMPLATE
from psycopg.conninfo import conninfo_to_dict

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


@pytest.fixture(scope="module", params=["async", "sync"])
def project_settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ModuleType:
    path = cookiecutter(
        str(TEMPLATE),
        no_input=True,
        accept_hooks=False,  # only the package is used
        output_dir=str(tmp_path_factory.mktemp(request.param)),
        extra_context={"project_slug": "urls", "engine": request.param},
    )
    module = ModuleType("settings")
    source = Path(path, "src", "urls", "settings.py")
    exec(compile(source.read_text(), source, "exec"), vars(module))
    return module


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


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(url=urls())
@example(url="postgresql://u@%2Frun%2Fpg:5433/db")
@example(url="postgresql://u@h:5433/db?host=/run/pg")
@example(url="postgresql://h/db?application_name=a+b")
@example(url="postgresql://u:1/x@h/db")
@example(url="postgresql://u:a@b@h/db")
@example(url="postgresql://u:s[ecret]x@h/d")
def test_an_accepted_url_means_what_it_means_to_libpq(
    project_settings: ModuleType, url: str
) -> None:
    try:
        parsed = project_settings.parse_database_url(url)
    except ValueError:
        return
    try:
        theirs = conninfo_to_dict(url)
    except psycopg.Error as error:
        pytest.fail(f"libpq refuses it: {error}")
    ours = {
        "user": parsed.username,
        "password": parsed.password,
        "host": parsed.host,
        "port": parsed.port and str(parsed.port),
        "dbname": parsed.database,
        **parsed.query,
    }
    hosts = str(theirs.get("host") or "").split(",")
    ports = str(theirs.get("port") or "").split(",")
    numbers = [str(int(port or 5432)) for port in ports * (len(hosts) if len(ports) == 1 else 1)]
    expected = theirs | {"host": ",".join(hosts), "port": ",".join(numbers)}
    assert {name: word for name, word in ours.items() if word} == {
        name: word for name, word in expected.items() if word
    }


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(words=st.fixed_dictionaries(dict.fromkeys(("user", "password", "dbname"), RAW)))
def test_an_encoded_url_is_accepted(project_settings: ModuleType, words: dict[str, str]) -> None:
    """Whatever the user, the password and the name of the database are."""
    user, password, database = (
        quote(words[name], safe="") for name in ("user", "password", "dbname")
    )
    url = project_settings.parse_database_url(f"postgresql://{user}:{password}@h/{database}")
    ours = (url.username or "", url.password or "", url.database or "")
    assert ours == (words["user"], words["password"], words["dbname"])
