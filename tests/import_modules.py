"""Imports every module of the projects whose paths it is given, and prints what fails, as JSON.

One process does it for all, since most of the time goes into the packages that they need. Their
names must differ, since Alembic knows its plugins by name.
Alembic's env.py runs only inside of a command: the migrations are written as SQL, without a server.
"""

import contextlib
import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config


def modules() -> Iterator[tuple[Path, str]]:
    """The modules of the project in the working directory, and their names."""
    for directory in ("src", "dev", "tests"):
        for path in sorted(Path(directory).rglob("*.py")):
            if path.name != "env.py":
                name = ".".join(path.with_suffix("").parts).removeprefix("src.")
                yield path, name.removesuffix(".__init__")


def faults(project: Path) -> Iterator[str]:
    os.chdir(project)
    sys.path[0] = str(project)  # where this file was
    sys.path.insert(1, str(project / "src"))
    importlib.invalidate_caches()
    try:
        for path, name in modules():
            try:
                importlib.import_module(name)
            except Exception:
                yield f"{path} cannot be imported: {traceback.format_exc(limit=-1)}"
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                command.upgrade(Config("alembic.ini"), "head", sql=True)
        except Exception:
            yield f"the migrations cannot be written as SQL: {traceback.format_exc(limit=-1)}"
    finally:
        sys.path.pop(1)
        own = {name.partition(".")[0] for _, name in modules()}
        for name in [name for name in sys.modules if name.partition(".")[0] in own]:
            del sys.modules[name]


print(json.dumps([list(faults(Path(path))) for path in sys.argv[1:]]))
