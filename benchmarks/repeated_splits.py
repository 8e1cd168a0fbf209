"""Repeated cross-validation on splits that are not the reported ones, and figures of it with honest intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.frozen_views import PhotoTable
from mpox.stats.intervals import group_codes, resampling_weights
from mpox.stats.metrics import weighted_metrics

OUTER, INNER, RESAMPLES = 5, 10, 1000
FIGURES = ("balanced_accuracy", "auroc", "nll")


@dataclass(frozen=True)
class Cell:
    """One outer split: photos to learn from (`rest`) and to judge on (`test`), row numbers of the table.

    `train`, `val` and `held_out` (K, N, bool) are the roles in the ten folds into which `rest` is split, as in a study.
    """

    seed: int
    outer: int
    rest: np.ndarray
    test: np.ndarray
    train: np.ndarray
    val: np.ndarray
    held_out: np.ndarray


def cells(photos: PhotoTable, seed: int) -> Iterator[Cell]:
    """Yield the outer splits of one seed: stratified and grouped, every photo in one test part."""
    everything, labels = np.arange(len(photos.targets)), photos.targets
    outer = StratifiedGroupKFold(OUTER, shuffle=True, random_state=seed)
    for number, (rest, test) in enumerate(outer.split(everything, labels, photos.groups)):
        inner = StratifiedGroupKFold(INNER, shuffle=True, random_state=seed)
        parts = [rest[part] for _, part in inner.split(rest, labels[rest], photos.groups[rest])]
        held_out = np.stack([np.isin(everything, part) for part in parts])
        val = np.roll(held_out, -1, axis=0)
        train = np.isin(everything, rest) & ~held_out & ~val
        yield Cell(seed, number, rest, test, train, val, held_out)


def compared(
    logits: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]], photos: PhotoTable, reference: str, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return each candidate's figures, and its differences from `reference` with 95 % intervals over groups of photos.

    `logits` gives for each candidate pairs of row numbers (n) and logits (n, C), one for each seed and network: its
    figure is the mean over them. Seeds share their photos, so they do not narrow an interval: each resample of groups
    is applied to all of them at once.
    """
    weights = resampling_weights(group_codes(photos.groups), RESAMPLES, seed)
    weights = np.concatenate([np.ones((1, weights.shape[1]), "float32"), weights])
    drawn = {}
    for name, pairs in logits.items():
        each = [weighted_metrics(part, photos.targets[rows], weights[:, rows], photos.positive) for rows, part in pairs]
        drawn[name] = {figure: np.mean([one[figure] for one in each], axis=0) for figure in FIGURES}
    found: dict[str, dict[str, Any]] = {}
    for name, figures in drawn.items():
        found[name] = {figure: round(float(values[0]), 4) for figure, values in figures.items()}
        if name != reference:
            found[name]["against"] = {
                figure: _with_interval(values - drawn[reference][figure]) for figure, values in figures.items()
            }
    return found


def _with_interval(difference: np.ndarray) -> list[float]:
    low, high = np.nanquantile(difference[1:], [0.025, 0.975])
    return [round(float(value), 4) for value in (difference[0], low, high)]


def table(found: Mapping[str, Mapping[str, Any]], reference: str, extra: Mapping[str, str] | None = None) -> str:
    """Return Markdown: figures, and differences in points (NLL as it is) with their intervals."""
    more = f" {next(iter(extra))} |" if extra else ""
    lines = [
        f"| | balanced accuracy | AUROC | NLL | balanced accuracy against {reference}, points | NLL against it |{more}",
        "|" + "---|" * (7 if extra else 6),
    ]
    for name, row in found.items():
        cells_ = [name, *(f"{row[figure]:.4f}" for figure in FIGURES)]
        if "against" in row:
            points = [100 * value for value in row["against"]["balanced_accuracy"]]
            cells_.append(f"{points[0]:+.2f} ({points[1]:+.2f} to {points[2]:+.2f})")
            value, low, high = row["against"]["nll"]
            cells_.append(f"{value:+.4f} ({low:+.4f} to {high:+.4f})")
        else:
            cells_ += ["", ""]
        if extra:
            cells_.append(str(row.get(next(iter(extra.values())), "")))
        lines.append("| " + " | ".join(cells_) + " |")
    return "\n".join(lines)
