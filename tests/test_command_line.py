"""What a person types, or keeps in a file, is what the project is made from; or it is refused."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import TEMPLATE, copy_template, create_repository

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command as a user would, whose home directory is empty."""
    (tmp_path / "home").mkdir()

    def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if "COOKIECUTTER" not in key}
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=kept | {"HOME": str(tmp_path / "home"), "PWD": str(tmp_path)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def write_config(path: Path, **defaults: Any) -> Path:
    path.write_text(yaml.safe_dump({"default_context": defaults}, sort_keys=False))
    return path


# What cookiecutter drops, with all that follows it, and says so only in a warning of Python's.
DROPPED = [
    ("python_version", 3.12, 'not 3.12. Write it in quotes: python_version: "3.12".'),
    ("python_version", "3.10", "'3.13' or '3.14', not '3.10'."),
    ("engine", "both", "must be 'async' or 'sync', not 'both'."),
    ("ci", False, "must be 'github', 'gitlab' or 'none', not False."),
    ("ci", None, "must be 'github', 'gitlab' or 'none', not None."),
    ("fastapi", "perhaps", "must be yes or no, not 'perhaps'."),
]


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value", "error"), DROPPED)
def test_a_value_that_cookiecutter_drops_is_refused_by_name(
    run: Run, tmp_path: Path, key: str, value: Any, error: str
) -> None:
    write_config(tmp_path / "team.yaml", **{key: value, "pool_size": "5", "docker": "no"})
    done = run("cookiecutter", "--no-input", "--config-file", "team.yaml", str(TEMPLATE))
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("ERROR: " + key)]
    assert error in line
    assert "team.yaml" in line
    assert line.endswith("cookiecutter also ignores what follows it: pool_size, docker.")
    assert not (tmp_path / "acme_orders").exists()


WAYS = {
    "an option": (["--config-file", "team.yaml"], {}),
    "an option with =": (["--config-file=team.yaml"], {}),
    "a variable": ([], {"COOKIECUTTER_CONFIG": "team.yaml"}),
    "a home directory": ([], {"HOME": "."}),
    "another working directory": (["--config-file", "team.yaml", "-o", "out"], {"PWD": "/"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_file_is_found_however_it_is_named(run: Run, tmp_path: Path, way: str) -> None:
    write_config(tmp_path / "team.yaml", pool_szie="5")
    (tmp_path / ".cookiecutterrc").write_text((tmp_path / "team.yaml").read_text())
    options, environment = WAYS[way]
    environment = {
        key: value.replace(".", str(tmp_path), 1) if key == "HOME" else value
        for key, value in environment.items()
    }
    done = run("cookiecutter", "--no-input", *options, str(TEMPLATE), **environment)
    assert "pool_szie in " in done.stderr
    assert "is not a question of this template. Use pool_size." in done.stderr
    assert done.returncode == 1


@pytest.mark.slow
def test_a_file_that_is_not_read_is_not_judged(run: Run, tmp_path: Path) -> None:
    write_config(tmp_path / "home" / ".cookiecutterrc", engine="both")
    done = run("cookiecutter", "--no-input", "--default-config", str(TEMPLATE))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_right_values_of_a_team_are_taken(run: Run, tmp_path: Path) -> None:
    """Whatever YAML makes of them, and beside what other templates ask."""
    defaults = {"full_name": "A", "pool_size": 5, "fastapi": False, "docker": "off"}
    write_config(tmp_path / "team.yaml", **defaults, python_version="3.12", engine="sync")
    done = run("cookiecutter", "--no-input", "--config-file", "team.yaml", str(TEMPLATE))
    assert done.returncode == 0, done.stderr
    assert "this template does not ask full_name." in done.stderr
    assert not (tmp_path / "acme_orders" / "Dockerfile").exists()
    project = (tmp_path / "acme_orders" / "pyproject.toml").read_text()
    assert '">=3.12"' in project
    assert "psycopg" in project


@pytest.mark.slow
def test_the_example_of_the_readme_is_taken(run: Run, tmp_path: Path) -> None:
    readme = (TEMPLATE / "README.md").read_text()
    example = readme.partition("# team.yaml\n")[2].partition("```")[0]
    (tmp_path / "team.yaml").write_text(example)
    done = run("cookiecutter", "--no-input", "--config-file", "team.yaml", str(TEMPLATE))
    assert done.returncode == 0, done.stderr
    [replay] = (tmp_path / "home" / ".cookiecutter_replay").iterdir()
    answers = json.loads(replay.read_text())["cookiecutter"]
    defaults = yaml.safe_load(example)["default_context"]
    assert defaults
    assert answers == answers | defaults


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ("pool_szie=5", "ERROR: pool_szie is not a question of this template. Use pool_size."),
        ("database=mysql", "ERROR: database is not a question of this template."),
    ],
)
def test_an_unknown_name_on_the_command_line_is_refused(
    run: Run, tmp_path: Path, typed: str, error: str
) -> None:
    done = run("cookiecutter", "--no-input", "-o", "a=b", str(TEMPLATE), typed)
    assert error in done.stderr.splitlines()
    assert not (tmp_path / "a=b").exists() or not list((tmp_path / "a=b").iterdir())


@pytest.mark.slow
def test_cruft_is_told_the_same(run: Run, tmp_path: Path) -> None:
    template = create_repository(copy_template(tmp_path / "template"))
    write_config(tmp_path / "team.yaml", python_version=3.12, engine="sync")
    create = ["cruft", "create", "--no-input"]
    done = run(*create, "--config-file", "team.yaml", str(template))
    assert "ERROR: python_version in " in done.stderr
    assert "cookiecutter also ignores what follows it: engine." in done.stderr
    done = run(*create, "--extra-context", '{"pool_szie": "5"}', str(template))
    assert "ERROR: pool_szie is not a question of this template. Use pool_size." in done.stderr
    done = run(*create, "--extra-context", '{"pool_size": "ten"}', str(template))
    [command] = [line for line in done.stderr.splitlines() if line.startswith("    ")][:1]
    words = [word.replace('"ten"', '"5"') for word in shlex.split(command)]
    assert run(*words).returncode == 0
    assert "= 5\n" in (tmp_path / "acme_orders/src/acme_orders/settings.py").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--output-dir", "out"]])
def test_the_message_says_how_to_change_one_answer(
    run: Run, tmp_path: Path, options: list[str]
) -> None:
    """The command that it names works as it stands, once the answer is corrected."""
    typed = ["project_name=It's Mine", "engine=sync", "pool_size=ten", "docker=no"]
    done = run("cookiecutter", "--no-input", *options, str(TEMPLATE), *typed)
    lines = done.stderr.splitlines()
    start = lines.index("ERROR: pool_size must be a whole number from 1 to 1000, not 'ten'.")
    kept, correct, command, traceback = lines[start + 1 : start + 5]
    assert traceback.startswith("The traceback that follows is only ")
    assert "pool_size" in correct
    replay = Path(kept.removeprefix("Your answers are kept in ").removesuffix("."))
    replay.write_text(replay.read_text().replace('"ten"', '"5"'))
    done = run(*shlex.split(command))
    assert done.returncode == 0, done.stderr
    project = tmp_path / "/".join([*options[1:], "it_s_mine"])
    assert "= 5\n" in (project / "src" / "it_s_mine" / "settings.py").read_text()
    assert "psycopg" in (project / "pyproject.toml").read_text()
    assert not (project / "Dockerfile").exists()


@pytest.mark.slow
def test_a_replay_that_is_wrong_is_the_file_to_correct(run: Run, tmp_path: Path) -> None:
    run("cookiecutter", "--no-input", str(TEMPLATE))
    [made] = (tmp_path / "home" / ".cookiecutter_replay").iterdir()
    (tmp_path / "mine.json").write_text(made.read_text().replace('"10"', '"ten"'))
    done = run("cookiecutter", "--replay-file", "mine.json", "-o", "out", str(TEMPLATE))
    assert f"Your answers are kept in {tmp_path / 'mine.json'}." in done.stderr


@pytest.mark.parametrize("value", ["no", "False", "true", "Yes"])
def test_a_boolean_that_an_old_cookiecutter_hands_over_is_explained(
    refuse: Callable[..., list[str]], tmp_path: Path, value: str
) -> None:
    from test_answers import write_replay

    [error] = refuse(replay=write_replay(tmp_path, {"fastapi": value}))
    assert error == (
        f"ERROR: fastapi must be true or false, not {value!r}. cookiecutter hands it over as text "
        "before version 2.7: use a newer one."
    )


UV = os.environ.get("UV") or shutil.which("uv")  # `uv run` names itself


@pytest.mark.slow
@pytest.mark.skipif(not UV, reason="only uv installs another cookiecutter for one command")
@pytest.mark.parametrize(
    ("version", "error"),
    [
        ("2.6.0", "ERROR: fastapi must be true or false, not 'no'. cookiecutter hands it over as "),
        ("2.7.0", None),
    ],
)
def test_the_oldest_cookiecutter_that_works(
    tmp_path: Path, config_file: str, version: str, error: str | None
) -> None:
    """The newest is that of the other tests."""
    options = ["--no-input", "--config-file", config_file, "-o", str(tmp_path), str(TEMPLATE)]
    done = subprocess.run(
        [str(UV), "tool", "run", f"cookiecutter@{version}", *options, "fastapi=no", "engine=sync"],
        capture_output=True,
        text=True,
        check=False,
    )
    if error:
        assert error in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / "acme_orders/src/acme_orders/api").exists()


@pytest.mark.slow
def test_the_closing_message_leads_to_a_green_push(run: Run, tmp_path: Path) -> None:
    done = run("cookiecutter", "--no-input", str(TEMPLATE))
    commands = [line.strip() for line in done.stderr.splitlines() if line.startswith("    ")]
    assert commands[0] == 'cd "acme_orders"'
    assert commands[1].startswith("uv sync")  # writes uv.lock
    assert "git add ." in commands[2]
    assert "uv.lock" in done.stderr
    ignored = (tmp_path / "acme_orders" / ".gitignore").read_text()
    assert "uv.lock" not in ignored
