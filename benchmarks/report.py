"""The measurements as a table and as a plot."""

import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from .generation import FLOOR
from .load import CONNECTIONS
from .measurement import SEED, SEED_AGAIN, Costs

PACKAGES = ("fastapi", "uvicorn", "sqlalchemy", "asyncpg", "psycopg", "pydantic")


def ratios(costs: dict[str, list[float]], name: str, reference: str = SEED) -> list[float]:
    """How many times less CPU the candidate used than the reference, in each round."""
    pairs = zip(costs[reference], costs[name], strict=True)
    return [reference_cost / cost for reference_cost, cost in pairs]


def summary(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def as_markdown(
    services: Costs,
    projects: dict[str, list[float]],
    rounds: int,
    seconds: float,
) -> str:
    names = list(next(iter(services.values())))
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        "# How fast is a rendered service?",
        "",
        "The table shows the CPU time per request of one server process on one core, "
        f"with {CONNECTIONS} connections.",
        "x is the seed pattern's CPU time divided by the candidate's: "
        f"the median of {rounds} rounds, and the range in parentheses.",
        "Higher is faster.",
        f"In each round, every candidate runs for {seconds:g} s on each endpoint.",
        "",
        f"| service | {' | '.join(f'{endpoint}, x | ms' for endpoint in services)} |",
        f"|---|{'---|' * 2 * len(services)}",
    ]
    by_id = services["read by id"]
    for name in sorted(names, key=lambda name: statistics.median(by_id[name]), reverse=True):
        cells = []
        for costs in services.values():
            milliseconds = 1000 * statistics.median(costs[name])
            cells += [summary(ratios(costs, name)), f"{milliseconds:.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    slower = [cost / floor for floor, cost in zip(*projects.values(), strict=True)]
    lines += [
        "",
        "Generating a project takes "
        f"{summary(slower)} times the CPU time of cookiecutter with {FLOOR}.",
        "",
        f"This was measured with Python {platform.python_version()}, {packages}.",
        "",
    ]
    return "\n".join(lines)


def plot(services: Costs, path: Path) -> None:
    """Bars of the medians, with the range over the rounds."""
    by_id = services["read by id"]
    names = sorted(
        by_id.keys() - {SEED_AGAIN},
        key=lambda name: statistics.median(ratios(by_id, name)),
    )
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same file from the same figures
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    subplots = figure.subplots(1, len(services), sharey=True)
    for axes, (endpoint, costs) in zip(subplots, services.items(), strict=True):
        rounds = [ratios(costs, name) for name in names]
        medians = [statistics.median(values) for values in rounds]
        low = [median - min(values) for median, values in zip(medians, rounds, strict=True)]
        high = [max(values) - median for median, values in zip(medians, rounds, strict=True)]
        colours = ["#2b6cb0" if name.startswith("rendered") else "#a0aec0" for name in names]
        bars = axes.barh(names, medians, color=colours, xerr=(low, high), ecolor="#4a5568")
        axes.bar_label(bars, [f"{median:.1f} x" for median in medians], padding=8)
        axes.set_title(endpoint)
        axes.set_xlim(0, 1.25 * max(map(max, rounds)))
        axes.set_xlabel("requests per second of CPU, seed pattern = 1")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
