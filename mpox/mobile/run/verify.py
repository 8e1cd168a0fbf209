"""Does the file say what the network said? Both on the same held-out photos, side by side, with paired intervals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mpox.errors import UserError
from mpox.stats.calibration import fit_temperature
from mpox.stats.intervals import group_codes, percentile_interval, proportion, resampling_weights
from mpox.stats.metrics import classification_metrics
from mpox.stats.operating_point import choose_threshold
from mpox.stats.pooled import balanced_accuracy, softmax, weighted_confusion

SHOWN = ("accuracy", "balanced_accuracy", "auroc", "auroc_mpox", "ece")
CONFIDENCE, RESAMPLES = 0.95, 2000


@dataclass(frozen=True)
class Bound:
    """What a file must keep: least agreement (0..1) and largest fall of balanced accuracy (0..1)."""

    agreement: float
    balanced_accuracy: float


DEFAULT_BOUND = Bound(agreement=0.98, balanced_accuracy=0.01)


@dataclass(frozen=True)
class Decisions:
    """How one side turns logits into answers: chosen on validation photos. No threshold where no class is mpox."""

    temperature: float
    threshold: float | None


def decisions(
    logits_NC: np.ndarray,
    targets_N: np.ndarray,
    positive: int | None,
    sensitivity: float,
) -> Decisions:
    """Fit the temperature to validation photos, and choose the highest threshold that finds `sensitivity` of mpox."""
    temperature = fit_temperature(logits_NC, targets_N)
    if positive is None:
        return Decisions(temperature, None)
    probability = softmax(logits_NC, temperature)[:, positive]
    return Decisions(temperature, choose_threshold(probability, targets_N == positive, sensitivity))


def verify(
    network_NC: np.ndarray,
    file_NC: np.ndarray,
    *,
    of_network: Decisions,
    of_file: Decisions,
    targets_N: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    classes: Sequence[str],
    positive: int | None,
    bound: Bound,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare logits of the network and of the file (float32, N x C) on the same held-out photos.

    Returns photos and groups; the figures of each side; agreement and the fall of balanced accuracy with intervals
    (paired: the same groups are drawn for both); |Δp| at each side's temperature; and the verdict: `kept`, `reasons`
    it is not, `note` where the photos are too few to tell. Raises UserError where there are no photos.
    """
    if not len(targets_N):
        raise UserError("no held-out photos to verify the file on: export a run whose fold has test photos")
    codes = group_codes(groups)
    answers = network_NC.argmax(1), file_NC.argmax(1)
    agreement = proportion(answers[0] == answers[1], codes, CONFIDENCE)
    weights = resampling_weights(codes, RESAMPLES, seed)
    fall, draws = (_fall(*answers, targets_N, some, len(classes)) for some in (np.ones_like(weights[:1]), weights))
    lost = percentile_interval(float(fall[0]), draws, len(targets_N), CONFIDENCE)
    probabilities = softmax(network_NC, of_network.temperature), softmax(file_NC, of_file.temperature)
    apart = np.abs(probabilities[0] - probabilities[1]).max(1)
    report: dict[str, Any] = {
        "photos": len(targets_N),
        "groups": int(codes.max()) + 1,
        "pytorch": _figures(network_NC, targets_N, classes, positive, of_network),
        "exported": _figures(file_NC, targets_N, classes, positive, of_file),
        "agreement": asdict(agreement),
        "balanced_accuracy_lost": asdict(lost),
        "max_delta_p": float(apart.max()),
        "mean_delta_p": float(apart.mean()),
        "confidence": CONFIDENCE,
        "bound": asdict(bound),
    }
    return report | _verdict(report, bound)


def _fall(first: np.ndarray, second: np.ndarray, targets: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    one, other = (balanced_accuracy(weighted_confusion(answers, targets, weights, n)) for answers in (first, second))
    return one - other


def _figures(
    logits: np.ndarray, targets: np.ndarray, classes: Sequence[str], positive: int | None, chosen: Decisions
) -> dict[str, Any]:
    """Figures of one side; sensitivity and specificity for mpox at the chosen threshold."""
    raw, scaled = (
        classification_metrics(values, targets, classes, positive)
        for values in (logits.astype("float64"), logits / chosen.temperature)
    )
    figures: dict[str, Any] = {name: raw[name] for name in SHOWN if name in raw}
    figures |= {"ece_scaled": scaled["ece"], "temperature": chosen.temperature, "threshold": chosen.threshold}
    if positive is not None and chosen.threshold is not None:
        called = softmax(logits, chosen.temperature)[:, positive] >= chosen.threshold
        sick = targets == positive
        figures["sensitivity_at_threshold"] = float(called[sick].mean()) if sick.any() else None
        figures["specificity_at_threshold"] = float((~called[~sick]).mean()) if (~sick).any() else None
    return figures


def _verdict(report: dict[str, Any], bound: Bound) -> dict[str, Any]:
    agreement, lost = report["agreement"], report["balanced_accuracy_lost"]
    reasons = []
    if agreement["value"] < bound.agreement:
        reasons.append(f"it agrees with the network on {agreement['value']:.1%} of photos, not {bound.agreement:.1%}")
    if lost["value"] > bound.balanced_accuracy:
        reasons.append(
            f"it loses {100 * lost['value']:.1f} points of balanced accuracy, more than "
            f"{100 * bound.balanced_accuracy:.1f}"
        )
    unsure = agreement["low"] < bound.agreement or (lost["high"] or 0.0) > bound.balanced_accuracy
    note = None
    if unsure and not reasons:
        note = (
            f"the bound is kept on these {report['photos']} photos, which are too few to tell for all: agreement is "
            f"{agreement['low']:.1%} to {agreement['high']:.1%} with {CONFIDENCE:.0%} confidence"
        )
    return {"kept": not reasons, "reasons": reasons, "note": note}
