"""What a child process of the tests runs; it imports little, for there are hundreds of them."""

import os
import sys
from pathlib import Path

# What multiprocessing's server imports, once for all children. No models: tests change them.
PRELOAD = ["alembic.config", "alembic_postgresql_enum", "pydantic_settings", "sqlalchemy.ext.asyncio"]


def alembic(project: str, url: str, output: str, *arguments: str) -> None:
    """Runs `alembic ARGUMENTS` in the project, or its own command line for `backfill`."""
    descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.path.insert(0, str(Path(project, "src")))
    os.chdir(project)
    os.environ["DATABASE_URL"] = url
    if arguments[0] == "backfill":
        import runpy

        sys.argv = ["backfill", *arguments]
        runpy.run_module(f"{Path(project).name}.migrations", run_name="__main__")
    else:
        from alembic.config import main

        main(list(arguments))
