"""Projects made from this template, and from copies of it with a fault."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.generate import generate_context
from cookiecutter.main import cookiecutter
from cookiecutter.prompt import prompt_for_config
from pytest_cookies.plugin import Cookies, Result

TEMPLATE = Path(__file__).parents[1]
PROJECT = next(TEMPLATE.glob("*cookiecutter.project_slug*")).name
QUESTIONS: dict[str, Any] = {
    question: default
    for question, default in json.loads((TEMPLATE / "cookiecutter.json").read_text()).items()
    if not question.startswith("_")
}


@dataclass(frozen=True)
class BakedProject:
    path: Path
    answers: dict[str, Any]

    @property
    def slug(self) -> str:
        return self.path.name

    @property
    def package(self) -> Path:
        return self.path / "src" / self.slug

    def run(self, *command: str) -> str:
        """The output of `python -m COMMAND …` in the project; a failure shows it."""
        ours = ("PYTEST_", "DATABASE_", "COV_")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.path,
            env=environment | {"PYTHONPATH": "src"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)} in {self.answers}\n{done.stdout}"
        return done.stdout


def tree(directory: Path) -> dict[str, bytes | None]:
    """The content of every file below a directory, by its path; None for a directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


def copy_template(target: Path) -> Path:
    """The parts of the template that cookiecutter reads, in a directory of its own."""
    target.mkdir(parents=True)
    for name in ("cookiecutter.json", "hooks", "templates", PROJECT):
        if (TEMPLATE / name).is_dir():
            shutil.copytree(
                TEMPLATE / name, target / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(TEMPLATE / name, target)
    return target


def default_context() -> dict[str, Any]:
    """The context of a project with every default, as a replay file holds it."""
    context = generate_context(str(TEMPLATE / "cookiecutter.json"))
    return dict(prompt_for_config(context, no_input=True))


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


@pytest.fixture
def bake(cookies: Cookies) -> Callable[..., BakedProject]:
    """Make a project with these answers, and the defaults for the others."""

    def bake(**answers: Any) -> BakedProject:
        result: Result = cookies.bake(extra_context=answers, template=str(TEMPLATE))  # type: ignore[no-untyped-call]  # pytest-cookies ships no types
        if result.exception:
            raise result.exception
        return BakedProject(result.project_path, result.context)

    return bake


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
