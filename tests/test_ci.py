"""CI and container files meet the schemas of their tools, and their linters find nothing."""

import itertools
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from projects import TEMPLATE, BakedProject, create_repository

# By the name that check-jsonschema has for its own copy of the schema.
SCHEMAS = {
    ".github/workflows/ci.yml": ["vendor.github-workflows"],
    ".github/dependabot.yml": ["vendor.dependabot"],
    ".gitlab-ci.yml": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
    "compose.yaml": ["vendor.compose-spec"],
}
ANSWERS = [
    pytest.param({"docker": docker, "ci": ci, "fastapi": fastapi}, id=f"{ci} {docker} {fastapi}")
    for docker, ci, fastapi in itertools.product(
        ("yes", "no"), ("github", "gitlab", "none"), ("yes", "no")
    )
]


def run(directory: Path, command: str, *arguments: str) -> None:
    program = Path(sysconfig.get_path("scripts")) / command
    done = subprocess.run(
        [program, *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("answers", ANSWERS)
def test_the_schemas_are_met(render: Callable[..., BakedProject], answers: dict[str, str]) -> None:
    project = render(**answers).path
    for path, (schema, *options) in SCHEMAS.items():
        if (project / path).exists():
            run(project, "check-jsonschema", "--builtin-schema", schema, *options, path)


@pytest.mark.slow
def test_the_templates_own_files_meet_the_schemas() -> None:
    for path in (".github/workflows/ci.yml", ".github/dependabot.yml"):
        run(TEMPLATE, "check-jsonschema", "--builtin-schema", *SCHEMAS[path], path)


@pytest.mark.slow
@pytest.mark.parametrize("docker", ["yes", "no"])
def test_the_linters_of_workflows_find_nothing(
    bake: Callable[..., BakedProject], tmp_path: Path, docker: str
) -> None:
    project = create_repository(bake(docker=docker).path)
    run(project, "zizmor", "--offline", "--no-progress", ".")
    run(project, "actionlint", "-shellcheck=", "-pyflakes=")


@pytest.mark.slow
def test_the_linters_of_workflows_find_nothing_in_the_template(tmp_path: Path) -> None:
    shutil.copytree(TEMPLATE / ".github", tmp_path / ".github")
    create_repository(tmp_path)
    run(tmp_path, "zizmor", "--offline", "--no-progress", ".")
    run(tmp_path, "actionlint", "-shellcheck=", "-pyflakes=")


def test_the_template_and_its_projects_pin_the_same_actions(
    render: Callable[..., BakedProject],
) -> None:
    def uses(workflow: Path) -> set[str]:
        jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
        return {step["uses"] for job in jobs for step in job["steps"] if "uses" in step}

    name = ".github/workflows/ci.yml"
    assert uses(render().path / name) == uses(TEMPLATE / name)
