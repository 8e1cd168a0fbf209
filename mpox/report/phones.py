"""Pictures and tables of exported models: costs against quality, engines side by side.

python -m mpox.report.phones exports [--study <study>] [--fold <k>] [--time] [--out <folder>]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.table import Table

from mpox.cli import DONE, finish
from mpox.console import results_console, shown
from mpox.files import replacing, write_json
from mpox.mobile.run.pareto import Point, frontier, read_points, timed
from mpox.report.style import BLUE, CYCLE, GREY, INK, ORANGE, STYLE, WIDTH
from mpox.runs.processor import in_words

AXES = {
    "size_mb": "size of the file, MB",
    "latency_ms": "latency of one photo here, one thread, ms",
    "instructions": "Arm64 instructions of one photo, millions",
}
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
LEAST_SPAN = 0.1  # of balanced accuracy that a picture shows
NOTICE = "Research software; not a diagnosis."


def pareto(points: Sequence[Point]) -> Figure:
    """Draw balanced accuracy against size and, where measured, latency: colour a model, mark a recipe.

    Hollow marks missed their bound and were not placed; the line joins what no other file beats.
    """
    costs = [cost for cost in AXES if any(point.kept and getattr(point, cost) is not None for point in points)]
    models, recipes = (sorted({getattr(point, name) for point in points}) for name in ("model", "recipe"))
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, cost in zip(all_axes, costs, strict=True):
        _scatter(axes, points, cost, models, recipes)
        axes.set_xlabel(AXES[cost])
    all_axes[0].set_ylabel(f"balanced accuracy on {points[0].photos} held-out photos")
    handles = [
        *(Line2D([], [], color=CYCLE[k % len(CYCLE)], marker="o", ls="", label=m) for k, m in enumerate(models)),
        *(
            Line2D([], [], color=INK, marker=MARKERS[k % len(MARKERS)], ls="", label=recipe)
            for k, recipe in enumerate(recipes)
        ),
        Line2D([], [], color=GREY, lw=1.2, label="not beaten by another"),
    ]
    if any(not point.kept for point in points):
        handles.append(Line2D([], [], color=INK, marker="o", mfc="none", ls="", label="hollow: missed its bound"))
    if shares := sorted({point.pruned for point in points if point.pruned}):
        label = f"dotted: {', '.join(f'{share:.0%}' for share in shares)} of channels pruned"
        handles.append(Line2D([], [], color=INK, marker=".", ls="", label=label))
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


def latencies(result: dict[str, Any]) -> Figure:
    """Draw `phone_benchmark`'s engines on the host: bars to the median, whiskers to the 90th percentile, by threads."""
    engines = result["engines"]
    threads = list(next(iter(engines.values()))["latency"])
    figure = Figure(figsize=(WIDTH, 0.9 + 0.32 * len(engines) * len(threads)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    thick = 0.8 / len(threads)
    for k, number in enumerate(threads):
        rows = [row - 0.4 + thick * (k + 0.5) for row in range(len(engines))]
        medians = [engine["latency"][number]["median_ms"] for engine in engines.values()]
        above = [engine["latency"][number]["p90_ms"] - m for engine, m in zip(engines.values(), medians, strict=True)]
        label = f"{number} thread{'s' if int(number) > 1 else ''}"
        axes.barh(
            rows,
            medians,
            thick * 0.9,
            xerr=[[0] * len(rows), above],
            color=(BLUE, ORANGE)[k % 2],
            label=label,
            error_kw={"ecolor": GREY, "elinewidth": 1},
        )
        for row, median in zip(rows, medians, strict=True):
            axes.annotate(
                f"{median:.1f}", (0, row), (3, 0), textcoords="offset points", va="center", color="white", size=7
            )
    axes.set_yticks(range(len(engines)), list(engines))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("latency of one photo, ms: bar = median, whisker = 90th percentile")
    figure.legend(loc="outside upper left", ncols=len(threads))
    return figure


def benchmark_table(result: dict[str, Any]) -> Table:
    """Return what `phone_benchmark` measured, on this machine or a phone, for the terminal."""
    table = Table(title=shown(f"{result['name']} ({result['model']}, {result['recipe']})"), caption=NOTICE)
    if "on_phone" in result:
        for column in ("phone", "threads", "load, ms", "first, ms", "median, ms", "p90, ms", "largest |Δp| to golden"):
            table.add_column(column, justify="left" if column == "phone" else "right")
        for one in result["on_phone"]:
            phone = f"{one['phone']['maker']} {one['phone']['model']} ({one['phone']['processor']})"
            times = (_ms(one[name]) for name in ("load_ms", "first_ms", "median_ms", "p90_ms"))
            table.add_row(phone, str(one["threads"]), *times, f"{one['golden_difference']:.4f}")
        return table
    table.caption = f"measured on {in_words(result['host'])}, which is no phone; {NOTICE}"
    costs = ("MB", "memory, MB", "load, ms", "first, ms")
    for column in ("engine", *costs, "threads", "median, ms", "p90, ms", "ratio to first"):
        words = column in ("engine", "ratio to first")
        table.add_column(column, justify="left" if column == "engine" else "right", no_wrap=words)
    for name, engine in result["engines"].items():
        cost = [f"{engine['size_bytes'] / 1e6:.2f}", _ms(engine["model_mb"]), _ms(engine["load_ms"])]
        for k, (number, times) in enumerate(engine["latency"].items()):
            about = [name, *cost, _ms(engine["first_ms"])] if k == 0 else [""] * 5
            against = times["against_first"]
            share = f"{against['median']:.2f} ({against['low']:.2f}-{against['high']:.2f})"
            table.add_row(*about, number, _ms(times["median_ms"]), _ms(times["p90_ms"]), share)
    return table


def write_benchmark(result: dict[str, Any], folder: Path) -> None:
    """Write benchmark.json, and of a host's benchmark.png and .svg, into `folder`."""
    write_json(folder / "benchmark.json", result)
    if "engines" in result:
        _save(latencies, result, folder / "benchmark")


def write_pareto(points: Sequence[Point], folder: Path) -> None:
    """Write pareto.json, .png and .svg into `folder`."""
    best = {cost: [point.name for point in frontier(points, cost)] for cost in AXES}
    write_json(folder / "pareto.json", {"points": [vars(point) for point in points], "not_beaten": best})
    _save(pareto, points, folder / "pareto")


def _scatter(axes: Axes, points: Sequence[Point], cost: str, models: list[str], recipes: list[str]) -> None:
    best = frontier(points, cost)
    axes.plot(
        [getattr(one, cost) for one in best], [one.balanced_accuracy for one in best], color=GREY, lw=1.2, zorder=1
    )
    for point in points:
        where = getattr(point, cost)
        if where is None:
            continue
        colour = CYCLE[models.index(point.model) % len(CYCLE)]
        marker = MARKERS[recipes.index(point.recipe) % len(MARKERS)]
        face = colour if point.kept else "none"
        axes.plot(where, point.balanced_accuracy, marker, color=colour, mfc=face, markersize=7, zorder=2, ls="")
        if point.pruned:
            axes.plot(
                where, point.balanced_accuracy, ".", color="white" if point.kept else colour, markersize=3.5, zorder=3
            )
    if len(models) > len(CYCLE):  # colours repeat: the best are named
        for point in best:
            at = (getattr(point, cost), point.balanced_accuracy)
            axes.annotate(point.model, at, (6, -3), textcoords="offset points", size=7, color=INK)
    axes.set_xlim(0, 1.08 * max(getattr(point, cost) for point in points if getattr(point, cost) is not None))
    heights = [point.balanced_accuracy for point in points]
    # A span of its own would blow a single photo's difference up to the height of the picture.
    middle, half = (min(heights) + max(heights)) / 2, max(LEAST_SPAN, 1.15 * (max(heights) - min(heights))) / 2
    axes.set_ylim(middle - half, middle + half)


def _save(draw: Any, content: Any, stem: Path) -> None:
    with mpl.rc_context(STYLE):
        figure = draw(content)
        for suffix in ("svg", "png"):
            with replacing(stem.with_suffix(f".{suffix}")) as temporary:
                figure.savefig(temporary, format=suffix, metadata={"Date": None} if suffix == "svg" else {})


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def main() -> None:
    """Draw the exports of one fold; exit code 0 only where there was something to draw."""
    parser = argparse.ArgumentParser(
        prog="python -m mpox.report.phones", description=__doc__.split("\n")[0] if __doc__ else ""
    )
    parser.add_argument("exports", type=Path, nargs="?", default=Path("exports"))
    parser.add_argument("--study")
    parser.add_argument("--fold", type=int)
    parser.add_argument("--time", action="store_true", help="measure all placed files again, in interleaved runs")
    parser.add_argument("--out", type=Path, help="folder for pareto.json, .png and .svg; default: the exports' own")
    given = parser.parse_args()
    finish(lambda: _draw(given))


def _draw(given: argparse.Namespace) -> int:
    points = read_points(given.exports, given.study, given.fold)
    if given.time:
        points = timed(points, given.exports)
    folder = given.out or given.exports
    write_pareto(points, folder)
    table = Table(title="exports", caption=NOTICE)
    for column in ("model", "recipe", "pruned", "MB", "ms", "balanced accuracy", ""):
        table.add_column(column, justify="left" if column in ("model", "recipe", "") else "right")
    best = {point.name for cost in AXES for point in frontier(points, cost)}
    for point in sorted(points, key=lambda point: -point.balanced_accuracy):
        what = "not beaten" if point.kept and point.name in best else "" if point.kept else "missed its bound"
        facts = (f"{point.pruned:.0%}", f"{point.size_mb:.2f}", _ms(point.latency_ms), f"{point.balanced_accuracy:.3f}")
        table.add_row(shown(point.model), shown(point.recipe), *facts, what)
    console = results_console()
    console.print(table)
    console.print(f"{folder / 'pareto.png'} shows them.")
    return DONE


if __name__ == "__main__":
    main()
