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
from .measurement import SEED, Costs

PACKAGES = ("fastapi", "uvicorn", "sqlalchemy", "asyncpg", "psycopg", "pydantic")
ANOTHER_TIME = f"{SEED} again (the noise)"


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
        f"CPU time per request of one server process on one core, {CONNECTIONS} connections, as",
        f"x = the seed pattern's CPU time / the candidate's: median of {rounds} rounds (range).",
        f"Higher is faster. In each round every candidate has {seconds:g} s for each endpoint.",
        "",
        f"| service | {' | '.join(f'{endpoint}, x | ms' for endpoint in services)} |",
        f"|---|{'---|' * 2 * len(services)}",
    ]
    for name in sorted(names, key=lambda name: statistics.median(services["read by id"][name]))[::-1]:
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
        f"Python {platform.python_version()}; {packages}.",
        "",
    ]
    return "\n".join(lines)


def plot(services: Costs, path: Path) -> None:
    names = [name for name in next(iter(services.values())) if name != ANOTHER_TIME]
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same file from the same figures
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, (endpoint, costs) in zip(
        figure.subplots(1, len(services), sharey=True), services.items(), strict=True
    ):
        names.sort(key=lambda name: statistics.median(ratios(services["read by id"], name)))
        medians = [statistics.median(ratios(costs, name)) for name in names]
        low = [median - min(ratios(costs, name)) for median, name in zip(medians, names)]
        high = [max(ratios(costs, name)) - median for median, name in zip(medians, names)]
        colours = ["#2b6cb0" if name.startswith("rendered") else "#a0aec0" for name in names]
        bars = axes.barh(names, medians, color=colours, xerr=(low, high), ecolor="#4a5568")
        axes.bar_label(bars, [f"{median:.1f} x" for median in medians], padding=6)
        axes.set_title(endpoint)
        axes.set_xlim(0, 1.2 * max(max(ratios(costs, name)) for name in names))
        axes.set_xlabel("requests per CPU second, seed pattern = 1")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
