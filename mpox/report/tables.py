"""Tables for the terminal."""

from typing import Any

from rich.table import Table

from mpox.console import shown
from mpox.stats.metrics import METRICS
from mpox.stats.printed import number


def result_table(result: dict[str, Any], title: str) -> Table:
    """Return the validation and test figures of one run side by side; of a final network those of its folds.

    `result` is metrics.json's content.
    """
    splits = [split for split in ("val", "test", "cross_validated") if split in result]
    view = Table(title=shown(title), caption="research use only; not a diagnosis")
    view.add_column("")
    for split in splits:
        view.add_column(f"{split.replace('_', '-')} (n={result[split]['n']})", justify="right")
    for name, metric in METRICS.items():
        if metric.in_run and name in result[splits[-1]]:
            view.add_row(metric.title, *(number(result[split][name]) for split in splits))
    return view
