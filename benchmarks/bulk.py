"""Wall time of the ways to insert many rows, in a rendered project."""

import json
import os
import subprocess
import sys
from pathlib import Path

from .measurement import database
from .services import TEMPLATE, render

ROWS = 10_000


def measure(directory: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds, one of each round, by engine and way."""
    found = {}
    for engine in ("async", "sync"):
        project = render(directory / f"{engine}-bulk", engine=engine)
        with database(project) as url:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.bulk_inserts", engine, str(ROWS), str(rounds)],
                cwd=TEMPLATE,
                env={**os.environ, "PYTHONPATH": str(project / "src"), "DATABASE_URL": url},
                check=True,
                stdout=subprocess.PIPE,
            )
        found[engine] = json.loads(done.stdout)
    return found
