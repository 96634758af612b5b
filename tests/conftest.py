"""Makes projects from this template, and from copies of it with a fault."""

import json
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import projects
import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from deployments import Deployment, created_database, running_server
from projects import TEMPLATE, BakedProject, tree
from pytest_cookies.plugin import Cookies, Result


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest test of the quick ones, after pytest-randomly has shuffled them."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


@pytest.fixture(scope="session", autouse=True)
def compiled_templates() -> Iterator[None]:
    """Compile each text of Jinja once per worker: that takes most of the time of a render."""
    compiled: dict[Any, Any] = {}
    compile = jinja2.Environment.compile

    def compile_once(self: jinja2.Environment, source: Any, *args: Any, **options: Any) -> Any:
        syntax = (self.trim_blocks, self.lstrip_blocks, self.keep_trailing_newline)
        key = (source, args, *options.items(), syntax, *self.extensions)
        if key not in compiled:
            compiled[key] = compile(self, source, *args, **options)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2.Environment, "compile", compile_once)
        yield


@pytest.fixture(scope="session")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A configuration that keeps cookiecutter away from the developer's own."""
    directory = tmp_path_factory.mktemp("cookiecutter")
    config = directory / "config.yaml"
    config.write_text(
        json.dumps({"cookiecutters_dir": str(directory), "replay_dir": str(directory / "replay")})
    )
    return str(config)


@pytest.fixture(scope="session")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One per worker: what mypy knows of the dependencies is the same for every project."""
    return tmp_path_factory.mktemp("mypy")


@pytest.fixture(scope="session", autouse=True)
def state_home() -> Iterator[None]:
    """Where development servers keep their data when root runs the tests, removed afterwards."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        Path(directory).chmod(0o755)  # pytest's own directories are closed to the server's user
        patch.setenv("XDG_STATE_HOME", directory)
        yield


@pytest.fixture(scope="session", autouse=True)
def signals() -> None:
    """Let children take signals, however the tests were started.

    A background job of a shell starts with SIGINT ignored, nohup with SIGHUP, and children inherit
    that. A handler is not inherited, and lets the tests themselves go on as before.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture
def bake(cookies: Cookies) -> Callable[..., BakedProject]:
    """Make a project with these answers, and the defaults for the others."""

    def bake(**answers: Any) -> BakedProject:
        result: Result = cookies.bake(extra_context=answers, template=str(TEMPLATE))  # type: ignore[no-untyped-call]  # pytest-cookies ships no types
        if result.exception:
            raise result.exception
        return BakedProject(result.project_path, result.context)

    return bake


@pytest.fixture(scope="session")
def render(
    config_file: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., BakedProject]:
    """The same without the hooks, once per worker and answers: whoever changes it takes a copy."""
    made: dict[Any, BakedProject] = {}

    def render(template: Path = TEMPLATE, **answers: Any) -> BakedProject:
        key = (template, *sorted(answers.items()))
        if key not in made:
            output_dir = tmp_path_factory.mktemp("rendered")
            made[key] = projects.render(template, output_dir, config_file, **answers)
        return made[key]

    return render


@pytest.fixture
def bake_from(
    config_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., BakedProject]:
    """Make a project from any template and with any option of cookiecutter's, in tmp_path/out."""
    # Hooks become files in the temporary directory, and are left there.
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    (tmp_path / "out").mkdir()

    def bake_from(template: Path = TEMPLATE, **options: Any) -> BakedProject:
        options.setdefault("no_input", "replay" not in options)
        options.setdefault("output_dir", str(tmp_path / "out"))
        path = cookiecutter(str(template), config_file=config_file, **options)
        return BakedProject(Path(path), options.get("extra_context", {}))

    return bake_from


@pytest.fixture
def refuse(
    bake_from: Callable[..., BakedProject], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """The errors of a hook that must fail, and must leave everything as it was."""

    def refuse(template: Path = TEMPLATE, **options: Any) -> list[str]:
        before = tree(tmp_path / "out")
        capfd.readouterr()
        with pytest.raises(FailedHookException):
            bake_from(template, **options)
        if not options.get("keep_project_on_failure"):
            assert tree(tmp_path / "out") == before
        return [line for line in capfd.readouterr().err.splitlines() if line.startswith("ERROR: ")]

    return refuse


@pytest.fixture(scope="session")
def server(rendered: BakedProject) -> Iterator[str]:
    """A server; `rendered` is the test module's."""
    with running_server(rendered) as url:
        yield url


@pytest.fixture
def deployment(rendered: BakedProject, server: str, tmp_path: Path) -> Iterator[Deployment]:
    """A copy of the module's project, to be changed, with a database."""
    path = shutil.copytree(rendered.path, tmp_path / rendered.slug)
    with created_database(server) as url:
        yield Deployment(path, url)
