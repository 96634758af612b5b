"""Does what documents tell a reader to do: python execute_documents.py DOCUMENT.md …

Each document's blocks are executed in order, on the database that DATABASE_URL names:
python in one namespace (where top-level await works, as in `python -m asyncio`), or into the file
whose path stands in backticks on the line before; diff changes lines of that file; console by the
shell, with the output it shows; sql by the server; ini, toml and yaml are parsed.
"""

import ast
import asyncio
import configparser
import inspect
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml

FENCE = re.compile(
    r"^(?:`(?P<path>[^`\n]+)`\n\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    line: int
    language: str
    path: str | None
    text: str


def blocks(document: Path) -> list[Block]:
    text = document.read_text()
    fences = {number for number, line in enumerate(text.splitlines(), 1) if "```" in line}
    found = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        fences -= {line - 1, line + match["text"].count("\n")}
        found.append(Block(line, match["language"], match["path"], match["text"]))
    assert not fences, f"{document}:{min(fences)}: a block that is not executed"
    return found


def change(path: Path, diff: str) -> None:
    """Change lines of a file, which must hold the old ones once."""
    lines = diff.splitlines(keepends=True)
    old = "".join(line[1:] or line for line in lines if line[0] != "+")
    new = "".join(line[1:] or line for line in lines if line[0] != "-")
    text = path.read_text()
    assert text.count(old) == 1, f"{path}: {old}"
    path.write_text(text.replace(old, new))


class Reader:
    """Follows one document."""

    def __init__(self, document: str, runner: asyncio.Runner) -> None:
        self.document = document
        self.runner = runner
        self.namespace: dict[str, Any] = {"__name__": "__main__"}

    def execute(self, block: Block) -> None:
        if block.language == "diff":
            assert block.path, "no file to change"
            change(Path(block.path), block.text)
        elif block.path is not None:
            path = Path(block.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        if block.language == "python":
            if block.path is None:
                self.execute_python(block)
        elif block.language == "console":
            self.execute_console(block)
        elif block.language == "sql":
            url = os.environ["DATABASE_URL"]
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(block.text.encode())
        elif block.language == "ini":
            parser = configparser.ConfigParser()
            parser.read_string(block.text)
            assert parser.sections()
        elif block.language == "toml":
            assert tomllib.loads(block.text)
        elif block.language == "yaml":
            assert yaml.safe_load(block.text)
        elif block.language not in {"diff", "mermaid"}:  # tests/test_diagrams.py reads the latter
            raise AssertionError(f"nobody executes {block.language!r}")

    def execute_python(self, block: Block) -> None:
        source = "\n" * (block.line - 1) + block.text  # so that a traceback shows the line
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(source, self.document, "exec", flags, dont_inherit=True)
        if not code.co_flags & inspect.CO_COROUTINE:
            exec(code, self.namespace)  # what this program is for
            return

        async def main() -> None:
            await eval(code, self.namespace)  # as above

        self.runner.run(main())

    def execute_console(self, block: Block) -> None:
        nothing, *parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
        assert parts, "no command"
        assert not nothing, "output without a command"
        for part in parts:
            command, _, expected = part.partition("\n")
            while command.endswith("\\"):
                more, _, expected = expected.partition("\n")
                command = f"{command}\n{more}"
            # What uv would install is here; `run` is for uv, too.
            command = re.sub(r"^\./run\b", "python -m dev", command)
            command = re.sub(r"\buv run (--with \S+ )*", "", command)
            command = re.sub(r"\buv (sync|add \S+)", "true", command)
            done = subprocess.run(
                command,
                shell=True,  # as the reader's
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}"
            pattern = ".*".join(map(re.escape, expected.strip().split("…")))
            assert re.search(pattern, done.stdout, re.DOTALL), f"{command}\n{done.stdout}"


def main(documents: list[str]) -> int:
    sys.path.insert(0, "")
    for document in documents:
        found = blocks(Path(document))
        with asyncio.Runner() as runner:
            reader = Reader(document, runner)
            for block in found:
                try:
                    reader.execute(block)
                except BaseException as error:
                    error.add_note(f"{document}:{block.line}: in this {block.language} block")
                    raise
        print(f"{document}: {len(found)} blocks")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
