"""Does the file agree with the network? Both on the same held-out photos, with paired intervals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mpox.errors import UserError
from mpox.stats.decision import DecisionRule
from mpox.stats.intervals import group_codes, percentile_interval, proportion, resampling_weights
from mpox.stats.metrics import classification_metrics
from mpox.stats.pooled import balanced_accuracy, weighted_confusion

SHOWN = ("accuracy", "balanced_accuracy", "auroc", "auroc_mpox", "ece")
CONFIDENCE, RESAMPLES = 0.95, 2000


@dataclass(frozen=True)
class Bound:
    """What a file must keep: the least agreement (0..1) and largest fall of balanced accuracy (0..1).

    `capture` is the least share (0..1) of its answers that a file keeps when the photo is taken again; None: no bound.
    """

    agreement: float
    balanced_accuracy: float
    capture: float | None = None


DEFAULT_BOUND = Bound(agreement=0.98, balanced_accuracy=0.01)


def verify(
    network_NC: np.ndarray,
    file_NC: np.ndarray,
    *,
    rule: DecisionRule,
    targets_N: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    classes: Sequence[str],
    positive: int | None,
    bound: Bound,
    seed: int = 0,
    held_out: bool = True,
) -> dict[str, Any]:
    """Compare logits of the network and of the file (float32, N x C) on the same photos.

    Agreement needs no held-out photos; figures that need the label do, and are left out without them (`held_out`).

    Returns photos and groups; the figures of each side; agreement and the fall of balanced accuracy with intervals
    (paired: the same groups are drawn for both); |Δp| at the rule's temperature; and the verdict: `kept`, `reasons`
    against it, `note` where the photos are too few to be certain. Raises UserError where there are no photos.
    """
    if not len(targets_N):
        raise UserError("no held-out photos to verify the file on: export a run whose fold has test photos")
    codes = group_codes(groups)
    predicted = network_NC.argmax(1), file_NC.argmax(1)
    agreement = proportion(predicted[0] == predicted[1], codes, CONFIDENCE)
    weights = resampling_weights(codes, RESAMPLES, seed)
    fall, draws = (_fall(*predicted, targets_N, some, len(classes)) for some in (np.ones_like(weights[:1]), weights))
    lost = percentile_interval(float(fall[0]), draws, len(targets_N), CONFIDENCE)
    probabilities = rule.probabilities(network_NC), rule.probabilities(file_NC)
    differences = np.abs(probabilities[0] - probabilities[1]).max(1)
    report: dict[str, Any] = {
        "photos": len(targets_N),
        "groups": int(codes.max()) + 1,
        "held_out": held_out,
        "pytorch": _figures(network_NC, targets_N, classes, positive, rule) if held_out else {},
        "exported": _figures(file_NC, targets_N, classes, positive, rule) if held_out else {},
        "agreement": asdict(agreement),
        "balanced_accuracy_lost": asdict(lost) if held_out else None,
        "max_delta_p": float(differences.max()),
        "mean_delta_p": float(differences.mean()),
        "confidence": CONFIDENCE,
        "bound": asdict(bound),
    }
    return report | _verdict(report, bound)


def _fall(first: np.ndarray, second: np.ndarray, targets: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    one, other = (
        balanced_accuracy(weighted_confusion(predicted, targets, weights, n)) for predicted in (first, second)
    )
    return one - other


def _figures(
    logits: np.ndarray, targets: np.ndarray, classes: Sequence[str], positive: int | None, rule: DecisionRule
) -> dict[str, Any]:
    """Figures of one side; sensitivity and specificity for mpox at the chosen threshold."""
    raw, scaled = (
        classification_metrics(values, targets, classes, positive)
        for values in (logits.astype("float64"), logits / rule.temperature)
    )
    figures: dict[str, Any] = {name: raw[name] for name in SHOWN if name in raw}
    figures |= {"ece_scaled": scaled["ece"], "temperature": rule.temperature, "threshold": rule.threshold}
    if positive is not None and rule.threshold is not None:
        called = rule.called_positive(rule.probabilities(logits), positive)
        sick = targets == positive
        figures["sensitivity_at_threshold"] = float(called[sick].mean()) if sick.any() else None
        figures["specificity_at_threshold"] = float((~called[~sick]).mean()) if (~sick).any() else None
    return figures


def _verdict(report: dict[str, Any], bound: Bound) -> dict[str, Any]:
    agreement, lost = report["agreement"], report["balanced_accuracy_lost"]
    reasons = []
    if agreement["value"] < bound.agreement:
        reasons.append(f"it agrees with the network on {agreement['value']:.1%} of photos, not {bound.agreement:.1%}")
    if lost is not None and lost["value"] > bound.balanced_accuracy:
        reasons.append(
            f"it loses {100 * lost['value']:.1f} points of balanced accuracy, more than "
            f"{100 * bound.balanced_accuracy:.1f}"
        )
    unsure = agreement["low"] < bound.agreement or ((lost and lost["high"]) or 0.0) > bound.balanced_accuracy
    note = None
    if unsure and not reasons:
        note = (
            f"the bound is kept on these {report['photos']} photos, which are too few to be certain: agreement is "
            f"{agreement['low']:.1%} to {agreement['high']:.1%} with {CONFIDENCE:.0%} confidence"
        )
    return {"kept": not reasons, "reasons": reasons, "note": note}
