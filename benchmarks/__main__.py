"""Measures all candidates in one interleaved run, and writes the table and the plot."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from . import bulk, generation, memory, report
from .measurement import measure
from .services import OTHER_CORES

RESULTS = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument(
        "--seconds",
        type=float,
        default=1.0,
        help="of load, for each candidate and endpoint in each round; default: %(default)s",
    )
    parser.add_argument(
        "--before",
        type=Path,
        metavar="DIRECTORY",
        help="another state of this template, whose projects take part in the run",
    )
    options = parser.parse_args()
    if not sys.platform.startswith("linux"):
        parser.error("needs Linux, to read the CPU time of the services and to pin them to a core")
    if OTHER_CORES:
        os.sched_setaffinity(0, OTHER_CORES)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        directory = Path(name)
        text = report.as_markdown(
            results := measure(directory, options.rounds, options.seconds, options.before),
            bulk.measure(directory, options.rounds),
            memory.measure(directory),
            generation.measure(directory, options.rounds),
            options.rounds,
            options.seconds,
        )
    (RESULTS / "results.md").write_text(text)
    report.plot(results.costs, RESULTS / "results.svg")
    print(text)


if __name__ == "__main__":
    main()
