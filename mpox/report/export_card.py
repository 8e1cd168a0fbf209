"""Figures of an export, for the terminal and as the model card beside the file."""

from pathlib import Path
from typing import Any

from rich.table import Table

from mpox import __version__
from mpox.console import shown
from mpox.data.folds import title_of
from mpox.files import read_record, replacing
from mpox.mobile.run.capture_report import worst_of
from mpox.report.page import environment
from mpox.runs.processor import in_words

FIGURES = (
    *("accuracy", "balanced_accuracy", "auroc", "auroc_mpox", "sensitivity_at_threshold", "specificity_at_threshold"),
    *("ece", "ece_scaled", "temperature", "threshold"),
)


def export_table(report: dict[str, Any]) -> Table:
    """Return the figures of the network and of the file side by side. `report` is export.json's content."""
    card = report["card"]
    title = f"{card['study']}: {card['model']}, {title_of(card['fold'])} as {report['recipe']} for {report['backend']}"
    table = Table(title=shown(title), caption="research use only; not a diagnosis")
    table.add_column("")
    table.add_column("network", justify="right")
    table.add_column("file", justify="right")
    if (found := report["verification"]) is not None:
        for name in FIGURES:
            if name in found["pytorch"]:
                table.add_row(name, *(_figure(found[side].get(name)) for side in ("pytorch", "exported")))
        for name in FIGURES if not found["pytorch"] else ():
            if (value := found.get("cross_validated", {}).get(name)) is not None:
                table.add_row(f"{name}, cross-validated", _figure(value), "")
        table.add_row(f"agreement on {found['photos']} photos", "", _interval(found["agreement"]))
        if found["balanced_accuracy_lost"] is not None:
            table.add_row("balanced accuracy lost", "", _interval(found["balanced_accuracy_lost"]))
        table.add_row("largest, mean |Δp|", "", f"{found['max_delta_p']:.3f}, {found['mean_delta_p']:.4f}")
    if report.get("captures"):
        worst = worst_of(report["captures"])
        words = f"answers kept on {report['captures']['photos']} photos taken again, at worst ({worst['name']})"
        table.add_row(words, "", _figure(worst["agreement"]))
    table.add_row("size, MB", "", f"{report['size_bytes'] / 1e6:.2f}")
    if report["size_against_fp32"]:
        table.add_row("size, times smaller than fp32", "", f"{1 / report['size_against_fp32']:.2f}")
    if report["latency_ms"] is not None:
        table.add_row("latency, ms", f"{report['fp32_latency_ms']:.2f} (fp32)", f"{report['latency_ms']:.2f}")
        table.add_row("  measured on", "", in_words(report.get("latency_on")))
    table.add_row("operators delegated", "", f"{report['contents']['delegated']:.0%}")
    table.add_row("layers", "", ", ".join(f"{n} {kind}" for kind, n in report["contents"]["layers"].items()) or "-")
    return table


def write_export_card(folder: Path) -> None:
    """Write `folder`/model_card.md from the export.json and contract.json that are there."""
    report, contract = read_record(folder / "export.json"), read_record(folder / "contract.json")
    template = environment().get_template("export_card.md.j2")
    on = in_words(report.get("latency_on"))
    text = template.render(
        r=report, latency_on=on, contract=contract, figures=FIGURES, figure=_figure, version=__version__
    )
    with replacing(folder / "model_card.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(value: dict[str, Any]) -> str:
    if value["low"] is None or value["high"] is None:
        return _figure(value["value"])
    return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
