"""Tables for the terminal."""

from typing import Any

from rich.table import Table

from mpox.console import shown

# The figures of the closing table, in reading order; metrics.json has all of them.
HEADLINE = ("accuracy", "balanced_accuracy", "auroc", "sensitivity", "specificity", "f1_macro", "mcc", "nll", "ece")


def result_table(result: dict[str, Any], title: str) -> Table:
    """Return the validation and test figures of one run side by side. `result` is metrics.json's content."""
    view = Table(title=shown(title), caption="research use only; not a diagnosis")
    view.add_column("")
    for split in ("val", "test"):
        view.add_column(f"{split} (n={result[split]['n']})", justify="right")
    for name in HEADLINE:
        if name in result["test"]:
            view.add_row(name, *(_figure(result[split][name]) for split in ("val", "test")))
    return view


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
