"""Tables for the terminal."""

from typing import Any

from rich.table import Table

from mpox.console import shown
from mpox.stats.metrics import METRICS
from mpox.stats.printed import number


def result_table(result: dict[str, Any], title: str) -> Table:
    """Return the validation and test figures of one run side by side. `result` is metrics.json's content."""
    view = Table(title=shown(title), caption="research use only; not a diagnosis")
    view.add_column("")
    for split in ("val", "test"):
        view.add_column(f"{split} (n={result[split]['n']})", justify="right")
    for name, metric in METRICS.items():
        if metric.in_run and name in result["test"]:
            view.add_row(metric.title, *(number(result[split][name]) for split in ("val", "test")))
    return view
