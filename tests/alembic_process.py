"""What a child process of the tests runs; it imports little, for there are hundreds of them."""

import os
import runpy
import shlex
import sys
from pathlib import Path

# What multiprocessing's server imports, once for all children. No models: tests change them.
PRELOAD = [
    "alembic.config",
    "alembic_postgresql_enum",
    "pydantic_settings",
    "sqlalchemy.ext.asyncio",
]


def alembic(project: str, url: str, output: str, *commands: str) -> None:
    """Runs `alembic COMMAND` for each command in the project; `backfill` is the project's own."""
    descriptor = os.open(output, os.O_WRONLY)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(project)
    for name in [name for name in os.environ if name.startswith("DATABASE_")]:
        del os.environ[name]
    os.environ["DATABASE_URL"] = url
    sys.path.insert(0, "src")
    for command in commands:
        module = f"{Path(project).name}.migrations" if "backfill" in command else "alembic"
        sys.argv = ["alembic", *shlex.split(command)]
        runpy.run_module(module, run_name="__main__", alter_sys=False)
