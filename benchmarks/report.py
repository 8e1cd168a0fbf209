"""The figures of a benchmark as a table, as JSON and as a picture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from rich.table import Table

from mpox.files import replacing

Row = tuple[str, str, str]


def table(results: dict[str, Any]) -> Table:
    """Return one row a figure: what, how much, against what it is to be held."""
    view = Table(title="benchmarks")
    view.add_column("what")
    view.add_column("measured", justify="right")
    view.add_column("aim")
    for what, measured, aim in rows(results):
        view.add_row(what, measured, aim)
    return view


def rows(results: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows of the table."""
    for model, found in results.get("training", {}).items():
        yield f"training {model}, of the bare loop in memory", f"{found['of_bare']:.3f}", "at least 0.95"
        if "of_plain" in found:
            yield f"training {model}, of the usual loop at its best", f"{found['of_plain']:.2f}", "at least 1"
        for stage, seconds in found["seconds_per_step"].items():
            yield f"  {stage} of a step", f"{1000 * seconds:.0f} ms", ""
    for name, value in results.get("stages", {}).items():
        what, unit = name.rsplit("_", 1)
        yield what.replace("_", " "), f"{value:g} {unit}", ""
    for key in ("probe", "default"):
        study = results.get(key)
        if study:
            aim = "at least 25" if key == "probe" else "at least 3.5"
            extent = f"{len(study['models'])} models x {study['folds']} folds"
            scaled = " (its jobs scaled)" if study["baseline_scaled"] else ""
            yield f"{key} study, {extent}: baseline{scaled}", f"{study['baseline_seconds']:.0f} s", ""
            yield f"{key} study, {extent}: mpox.train -m", f"{study['seconds']:.0f} s", ""
            yield f"{key} study, times faster", f"{study['speedup']:.1f}", aim
            yield f"{key} study, times less processor time", f"{study['processor_speedup']:.1f}", aim
            for name, score in study["scores"].items():
                text = f"{score['mpox']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
                yield f"  {name}, balanced accuracy", text, f"baseline {score['baseline']:.3f}"
    if jobs := results.get("jobs"):
        yield f"overhead a job, {jobs['jobs']} jobs in one process", f"{jobs['overhead_s']:.2f} s", "at most 1.5"
        yield "  memory, last job against the fifth", f"{jobs['memory_growth']:+.1%}", "within 5 %"
        yield "  a finished job, in itself", f"{1000 * jobs['skip_inside_s']:.0f} ms", "milliseconds"
        yield "  a finished job, Hydra's composing included", f"{1000 * jobs['skip_s']:.0f} ms", ""
    for name, found in results.get("launchers", {}).items():
        killed = f", {found['killed']} killed" if "killed" in found else ""
        agreed = "identical" if found["identical"] else "DIFFERENT"
        yield f"launcher {name}{killed}", f"{found['seconds']:.0f} s, {agreed}", "identical"
    if packed := results.get("packed"):
        for number, found in packed["at_once"].items():
            busy = "" if found["busy"] is None else f", {found['busy']:.0%} busy"
            agreed = "same answers" if found["same_answers"] else "DIFFERENT answers"
            what = f"{packed['jobs']} jobs on {packed['device']}, {number} at once"
            yield what, f"{found['seconds']:.0f} s{busy}, {agreed}", "same answers"
    for name, found in results.get("growth", {}).get("cases", {}).items():
        yield f"study, {name}", f"{found['time']:g} times as long", f"at most about {found['work']}"


def draw(results: dict[str, Any], path: Path) -> None:
    """Write one PNG with a panel for each part that was measured."""
    panels = [
        (name, part)
        for name, part in (("training", _training), ("probe", _study), ("default", _study), ("jobs", _memory))
        if name in results
    ]
    panels += [(name, part) for name, part in (("packed", _packed), ("growth", _growth)) if name in results]
    if not panels:
        return
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(3.6 * len(panels), 3.2), layout="constrained", squeeze=False
        )
        for axis, (name, part) in zip(axes[0], panels, strict=True):
            part(axis, results[name])
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=150, format="png")
        plt.close(figure)


def _training(axis: Any, found: dict[str, Any]) -> None:
    for k, (name, label) in enumerate((("of_bare", "bare loop"), ("of_plain", "usual loop"))):
        values = [model.get(name, 0) for model in found.values()]
        axis.bar([place + 0.4 * k for place in range(len(values))], values, 0.38, label=f"of the {label}")
    axis.axhline(1, color="black", lw=0.8)
    axis.set_xticks([place + 0.2 for place in range(len(found))], list(found), rotation=20, ha="right")
    axis.set_title("training throughput, ratio")
    axis.legend(frameon=False)


def _study(axis: Any, found: dict[str, Any]) -> None:
    values = [found["baseline_seconds"], found["seconds"]]
    axis.bar(["baseline", "mpox"], values, color=["0.7", "C0"])
    axis.bar_label(axis.containers[0], fmt="%.0f s")
    axis.set_title(f"{found['schedule']}: {len(found['models'])} x {found['folds']} jobs, {found['speedup']:.1f} times")


def _memory(axis: Any, found: dict[str, Any]) -> None:
    axis.plot(range(1, len(found["memory_mb"]) + 1), found["memory_mb"])
    axis.set_ylim(0, 1.2 * max(found["memory_mb"]))
    axis.set_xlabel("jobs in one process")
    axis.set_title("resident memory, MB")


def _packed(axis: Any, found: dict[str, Any]) -> None:
    runs = found["at_once"]
    axis.bar(list(runs), [one["seconds"] for one in runs.values()], color="C0")
    busy = ["" if one["busy"] is None else f"{one['busy']:.0%} busy" for one in runs.values()]
    axis.bar_label(axis.containers[0], labels=busy)
    axis.set_xlabel("jobs at once")
    axis.set_title(f"{found['jobs']} jobs on one {found['device']}, s")


def _growth(axis: Any, found: dict[str, Any]) -> None:
    largest = max(case["work"] for case in found["cases"].values())
    axis.plot([1, largest], [1, largest], color="0.6", lw=0.8, label="linear")
    for name, case in found["cases"].items():
        axis.plot(case["work"], case["time"], "o")
        axis.annotate(name, (case["work"], case["time"]), textcoords="offset points", xytext=(4, -9))
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("times the work")
    axis.set_ylabel("times the time")
    axis.set_title("how a study grows")
    axis.legend(frameon=False)
