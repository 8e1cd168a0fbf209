"""The closing tables of `mpox.evaluate`: a study's networks on their own test folds and on photos never seen."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.table import Table

from mpox.console import shown
from mpox.data.folds import ALL, title_of
from mpox.stats import printed
from mpox.stats.intervals import Interval
from mpox.stats.metrics import METRICS, key_metrics

# The figures of the two tables, in reading order.
SHOWN, AT_THRESHOLD = key_metrics("balanced_accuracy"), ("sensitivity", "specificity")
# Rows of a model: its folds inside and outside the study, the mean of their networks, and the final network.
_ROWS = {"internal": "internal", "external": "external", "ensemble": "ensemble", "final": title_of(ALL)}


def external_table(study: str, results: Mapping[str, Any]) -> Table:
    """Return the table of what `mpox.commands.evaluate.evaluate` found of each model of a study."""
    view = _table(f"{shown(study)}: own test folds (mean ± sd) and photos never seen")
    # Where a class has no photos, a mean over the classes is not defined.
    known = [metrics for result in results.values() for metrics in result["external"]]
    columns = [name for name in SHOWN if any(metrics.get(name) is not None for metrics in known)]
    for title in ("n", *(METRICS[name].title for name in columns)):
        view.add_column(title.replace(" ", "\n"), justify="right")
    for model, result in results.items():
        for what, title in _ROWS.items():
            if what in result:
                metrics = result[what] if isinstance(result[what], list) else [result[what]]
                figures = [_figure(metrics, name) for name in columns]
                view.add_row(shown(model), title, str(metrics[0]["n"]), *figures)
    return view


def threshold_table(results: Mapping[str, Any]) -> Table | None:
    """Return the table of external photos by the rule that leaves the study; None where no model has one."""
    view = _table("Photos never seen, at the threshold of the study's held-out photos (95 % interval over groups)")
    for title in ("threshold", *AT_THRESHOLD):
        view.add_column(title, justify="right")
    for model, result in results.items():
        networks = result["at_threshold"]["networks"]
        final = {name: one for name, one in networks.items() if name == f"fold-{ALL}"}
        folds = [one["threshold"] for name, one in networks.items() if name not in final]
        # Where not all folds are done, each network has a rule of its own.
        limit = printed.number(folds[0]) if len(set(folds)) == 1 else "several"
        if of_folds := result["at_threshold"]["folds"]:
            view.add_row(shown(model), _ROWS["external"], limit, *(_bounded(of_folds[name]) for name in AT_THRESHOLD))
        for one in final.values():
            if "sensitivity" in one:
                figures = [_bounded(one[name]) for name in AT_THRESHOLD]
                view.add_row(shown(model), _ROWS["final"], printed.number(one["threshold"]), *figures)
    return view if view.row_count else None


def _table(title: str) -> Table:
    view = Table(title=title, caption="research use only; not a diagnosis")
    view.add_column("model", no_wrap=True)
    view.add_column("photos", no_wrap=True)
    return view


def _figure(metrics: Sequence[Mapping[str, Any]], name: str) -> str:
    """Mean over the folds and its standard deviation below it."""
    values = [one[name] for one in metrics if one.get(name) is not None]
    if not values:
        return printed.DASH
    mean = sum(values) / len(values)
    return f"{mean:.3f}" if len(values) == 1 else f"{mean:.3f}\n± {pd.Series(values).std():.3f}"


def _bounded(figure: Mapping[str, Any]) -> str:
    """A figure and its interval below it."""
    one = Interval.read(figure)
    return f"{printed.number(one.value)}\n{printed.bounds(one, 2)}"
