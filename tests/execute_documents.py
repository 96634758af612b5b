"""Does what documents tell a reader to do: python execute_documents.py DOCUMENT.md …

Each document's blocks are executed in order, on the database that DATABASE_URL names:
python in one namespace (where top-level await works, as in `python -m asyncio`), or into the file
whose path stands in backticks on the line before; console by the shell, with the output it shows;
sql by the server; ini, toml and yaml are parsed.
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml

FENCE = re.compile(r"^(?:`(?P<path>[^`\n]+)`\n\n?)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    document: Path
    line: int
    language: str
    path: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.language}"


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text()
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(document, line, found["language"], found["path"], found["text"])


class Reader:
    """Follows one document."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.runner = runner

    def execute(self, block: Block) -> None:
        if block.path is not None:
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
        else:
            raise AssertionError(f"nobody executes {block.language!r}")

    def execute_python(self, block: Block) -> None:
        source = "\n" * (block.line - 1) + block.text  # so that a traceback shows the line
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(source, str(block.document), "exec", flags, dont_inherit=True)
        if not code.co_flags & inspect.CO_COROUTINE:
            exec(code, self.namespace)  # noqa: S102  # what this program is for
            return

        async def main() -> None:
            await eval(code, self.namespace)  # noqa: S307  # as above

        self.runner.run(main())

    def execute_console(self, block: Block) -> None:
        for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            while command.endswith("\\"):
                more, _, expected = expected.partition("\n")
                command = f"{command}\n{more}"
            # What uv would install is here.
            command = re.sub(r"\buv run (--with \S+ )*", "", command).replace("uv sync", "true")
            done = subprocess.run(
                command,
                shell=True,  # noqa: S602  # as the reader's
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}"
            pattern = "*".join(re.escape(piece) for piece in expected.strip().split("…"))
            pattern = pattern.replace("*", ".*")
            assert re.search(pattern, done.stdout, re.S), f"{command}\n{done.stdout}\n{expected}"


def main(documents: list[str]) -> int:
    sys.path.insert(0, "")
    for document in map(Path, documents):
        with asyncio.Runner() as runner:
            reader = Reader(runner)
            count = 0
            for block in blocks(document):
                try:
                    reader.execute(block)
                except BaseException as error:
                    error.add_note(f"in the block at {block}")
                    raise
                count += 1
        print(f"{document}: {count} blocks")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
