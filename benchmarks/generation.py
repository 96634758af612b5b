"""CPU time of `cookiecutter`, as a user runs it, beside a template of one file without hooks."""

import json
import resource
import subprocess
import sys
from pathlib import Path

from .services import TEMPLATE

FLOOR = "one file, no hooks"


def measure(directory: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of CPU, hooks included, one of each round, by template."""
    templates = {FLOOR: one_file_template(directory / "floor"), "this template": TEMPLATE}
    costs: dict[str, list[float]] = {name: [] for name in templates}
    for number in range(rounds + 1):
        for name, template in templates.items():
            cost = generate(template, directory / f"generated-{number}")
            if number > 0:  # the first round compiles bytecode
                costs[name].append(cost)
    return costs


def one_file_template(directory: Path) -> Path:
    project = directory / "{{cookiecutter.name}}"
    project.mkdir(parents=True)
    (project / "README.md").write_text("# {{ cookiecutter.name }}\n")
    (directory / "cookiecutter.json").write_text(json.dumps({"name": "floor"}))
    return directory


def generate(template: Path, output: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "cookiecutter", "--no-input", "-o", output, template],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
