"""The measurements as a table and as a plot."""

import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from . import memory
from .bulk import ROWS
from .generation import FLOOR
from .measurement import (
    BY_HAND,
    CONNECTIONS,
    MANY_CONNECTIONS,
    READ_BY_ID,
    SEED,
    SEED_AGAIN,
    TURNS,
    Figures,
    Results,
)

PACKAGES = (
    "fastapi",
    "uvicorn",
    "granian",
    "sqlalchemy",
    "asyncpg",
    "psycopg",
    "pydantic",
)
# The seed pattern differs from itself by less than this where the machine was quiet.
QUIET = 0.06


def ratios(figures: dict[str, list[float]], name: str, reference: str = SEED) -> list[float]:
    """How many times less the candidate needed than the reference, in each round."""
    pairs = zip(figures[reference], figures[name], strict=True)
    return [reference_figure / figure for reference_figure, figure in pairs]


def summary(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def by_speed(results: Results) -> list[str]:
    """The candidates, the slowest reader first."""
    costs = results.costs[READ_BY_ID]
    return sorted(costs, key=lambda name: statistics.median(costs[name]), reverse=True)


def noise(results: Results) -> float:
    """By how much the medians of the same candidate differ from one another, at most."""
    return max(
        abs(statistics.median(ratios(costs, SEED_AGAIN)) - 1) for costs in results.costs.values()
    )


def as_markdown(
    results: Results,
    inserts: dict[str, dict[str, list[float]]],
    memories: dict[str, tuple[int, int]],
    projects: dict[str, list[float]],
    rounds: int,
    seconds: float,
) -> str:
    names = by_speed(results)
    before = any(name.endswith("before") for name in names)
    difference = noise(results)
    verdict = "quiet enough" if difference <= QUIET else "too noisy: repeat the run"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    slower = [cost / floor for floor, cost in zip(*projects.values(), strict=True)]
    lines = [
        "# How fast is a rendered service?",
        "",
        "All figures are from one run, in which the candidates take turns.",
        f"A cell shows the median of {rounds} rounds, and the range in parentheses.",
        "In each round, every candidate has a new process, "
        f"which runs for {seconds:g} s on each endpoint, in {TURNS} turns.",
        "Most tutorials and templates, such as rafsaf's and grillazz's, have a dependency that "
        "yields the session.",
        "In others, such as s3rius's, the dependency commits as well.",
        "",
        "## CPU time",
        "",
        "The table shows the CPU time per request of one server process on one core, "
        f"with {CONNECTIONS} connections.",
        "x is the seed pattern's CPU time divided by the candidate's, so higher is faster.",
        *(["The template is compared with an earlier state of it, too: before."] if before else []),
        "",
        *cost_table(results.costs, names),
        "",
        f"The machine was {verdict}.",
        f"The seed pattern differs from itself by {100 * difference:.0f} %.",
        "",
        "## Share of what is possible",
        "",
        f"The table shows the speed of a candidate divided by that of {BY_HAND}.",
        "",
        *share_table(results.costs, names),
        "",
        "## Latency",
        "",
        f"The table shows the 99th percentile at {MANY_CONNECTIONS} connections, "
        "divided by the seed pattern's, so lower is faster.",
        "",
        *latency_table(results.latencies, names),
        "",
        f"## {ROWS:,} rows in one transaction",
        "",
        "The table shows seconds of wall time.",
        "",
        *insert_table(inserts),
        "",
        "## Memory",
        "",
    ]
    lines += [
        f"The {engine} service occupies {before / 2**20:.0f} MiB after {memory.WARM_UP:,} "
        f"requests, and {after / 2**20:.0f} MiB after {memory.REQUESTS:,} more."
        for engine, (before, after) in memories.items()
    ]
    lines += [
        "",
        "## Generation",
        "",
        "Generating a project takes "
        f"{summary(slower)} times the CPU time of cookiecutter with {FLOOR}.",
        "",
        f"This was measured with Python {platform.python_version()}, {packages}.",
        "",
    ]
    return "\n".join(lines)


def table(heads: Sequence[str], rows: dict[str, list[str]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]


def cost_table(costs: Figures, names: Sequence[str]) -> list[str]:
    rows: dict[str, list[str]] = {name: [] for name in names}
    for name, cells in rows.items():
        for figures in costs.values():
            milliseconds = 1000 * statistics.median(figures[name])
            cells += [summary(ratios(figures, name)), f"{milliseconds:.2f}"]
    heads = [head for endpoint in costs for head in (f"{endpoint}, x", "ms")]
    return table(["service", *heads], rows)


def share_table(costs: Figures, names: Sequence[str]) -> list[str]:
    rows = {
        name: [summary(ratios(figures, name, BY_HAND)) for figures in costs.values()]
        for name in names
        if name.startswith("rendered")
    }
    return table(["service", *costs], rows)


def latency_table(latencies: Figures, names: Sequence[str]) -> list[str]:
    rows: dict[str, list[str]] = {name: [] for name in names}
    for name, cells in rows.items():
        for figures in latencies.values():
            shares = [1 / ratio for ratio in ratios(figures, name)]
            cells += [summary(shares), f"{1000 * statistics.median(figures[name]):.0f}"]
    heads = [head for endpoint in latencies for head in (endpoint, "ms")]
    return table(["service", *heads], rows)


def insert_table(inserts: dict[str, dict[str, list[float]]]) -> list[str]:
    ways = list(next(iter(inserts.values())))
    rows = {
        engine: [summary(seconds) for seconds in by_way.values()]
        for engine, by_way in inserts.items()
    }
    return table(["engine", *ways], rows)


def plot(costs: Figures, path: Path) -> None:
    """Bars of the medians, with the range over the rounds."""
    by_id = costs[READ_BY_ID]
    names = sorted(
        (name for name in by_id if name != SEED_AGAIN and not name.endswith("before")),
        key=lambda name: statistics.median(ratios(by_id, name)),
    )
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same file from the same figures
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    subplots = figure.subplots(1, len(costs), sharey=True)
    for axes, (endpoint, figures) in zip(subplots, costs.items(), strict=True):
        rounds = [ratios(figures, name) for name in names]
        medians = [statistics.median(values) for values in rounds]
        low = [median - min(values) for median, values in zip(medians, rounds, strict=True)]
        high = [max(values) - median for median, values in zip(medians, rounds, strict=True)]
        colours = ["#2b6cb0" if name.startswith("rendered") else "#a0aec0" for name in names]
        bars = axes.barh(names, medians, color=colours, xerr=(low, high), ecolor="#4a5568")
        axes.bar_label(bars, [f"{median:.1f} x" for median in medians], padding=8)
        axes.set_title(endpoint)
        axes.set_xlim(0, 1.25 * max(map(max, rounds)))
        axes.set_xlabel("requests per second of CPU")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
