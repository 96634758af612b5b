"""Draws docs/terminal.svg from a real run: `uv run python docs/draw_terminal.py`."""

import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

TEMPLATE = Path(__file__).parents[1]
PICTURE = Path(__file__).with_name("terminal.svg")
WIDTH = 100
COOKIECUTTER = "uvx cookiecutter --no-input gh:OWNER/cookiecutter-sqlalchemy"
# What the picture shows is typed, and what is run in its place here: this very template, in the
# environment of its tests, which has all that the project needs.
STEPS = [
    (COOKIECUTTER, [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config"]),
    (
        "cd acme_orders && uv sync && uv run pytest",
        [sys.executable, "-m", "pytest"],
    ),
]


def run(command: list[str], directory: Path) -> str:
    """What the command writes to a terminal; fails as it fails."""
    controller, terminal = pty.openpty()
    environment = os.environ | {"COLUMNS": str(WIDTH), "PYTHONPATH": "src", "PWD": str(directory)}
    process = subprocess.Popen(
        command, cwd=directory, env=environment, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    written = b""
    try:
        while data := os.read(controller, 65536):
            written += data
    except OSError:  # the terminal is closed at the other end
        pass
    if process.wait():
        raise RuntimeError(f"{command} failed:\n{written.decode()}")
    return written.decode().replace("\r\n", "\n")


def last_of_each_line(output: str) -> str:
    """What stays of lines that are written over, without what only this machine has."""
    lines = [line.rpartition("\r")[2] for line in output.splitlines()]
    hidden = ("platform ", "rootdir:", "configfile:", "plugins:", "asyncio", "cachedir:", "Using ")
    kept = [line for line in lines if not line.startswith((*hidden, "collecting", "\x1b[1mcoll"))]
    # One green piece of text for all dots of a line.
    return re.sub(r"\x1b\[0m\x1b\[32m(?=\.)", "", "\n".join(kept))


def draw(console: Console, directory: Path) -> None:
    for typed, command in STEPS:
        console.print(Text(f"$ {typed}", style="bold green"))
        if typed == COOKIECUTTER:
            output = run([*command, str(TEMPLATE)], directory)
        else:
            output = run(command, directory / "acme_orders")
        console.print(Text.from_ansi(last_of_each_line(output)))


def main() -> None:
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"), force_terminal=True)  # noqa: PTH123, SIM115  it lasts as long as the program
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # the server's user must reach it when root runs this
        draw(console, Path(directory))
    # Fonts of the reader's machine: the picture asks no other site for anything.
    style = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    picture = console.export_svg(
        title="From the command to green tests", code_format=style, unique_id="terminal"
    )
    PICTURE.write_text("\n".join(line.rstrip() for line in picture.splitlines()) + "\n")


if __name__ == "__main__":
    main()
