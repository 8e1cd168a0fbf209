"""Prediction sets that hold the true class as often as promised, and photos referred to a clinician."""

from collections.abc import Sequence

import numpy as np

from mpox.stats.intervals import proportion
from mpox.stats.model_result import Conformal, CoverageOfClass, Referral

METHOD = "class-conditional conformal prediction by groups, each fold's from the other folds' held-out photos"
# Shares of the photos that are referred, of the accuracy-referral curve.
REFERRED = np.arange(0, 31) / 50


def describe_sets(
    sets_NC: np.ndarray,
    targets_N: np.ndarray,
    codes_N: np.ndarray,
    classes: Sequence[str],
    *,
    target: float,
    confidence: float,
) -> Conformal:
    """Measure pooled sets (bool, N x C): coverage over all and a class, sizes."""
    held = sets_NC[np.arange(len(targets_N)), targets_N]
    sizes = sets_NC.sum(1)
    per_class = []
    for k, label in enumerate(classes):
        members = targets_N == k
        if members.any():
            coverage = proportion(held[members], codes_N[members], confidence)
            per_class.append(CoverageOfClass(label, coverage, float(sizes[members].mean())))
    return Conformal(
        target=target,
        method=METHOD,
        coverage=proportion(held, codes_N, confidence),
        mean_size=float(sizes.mean()),
        sizes=tuple(float(share) for share in np.bincount(sizes, minlength=len(classes) + 1) / len(sizes)),
        per_class=tuple(per_class),
    )


def referral_curve(probabilities_NC: np.ndarray, targets_N: np.ndarray, positive: int | None) -> Referral:
    """Return accuracy and mpox sensitivity on what is answered as the least confident photos are referred."""
    surest_first = np.argsort(-probabilities_NC.max(1), kind="stable")
    answers, targets = probabilities_NC.argmax(1)[surest_first], targets_N[surest_first]
    accuracy: list[float | None] = []
    sensitivity: list[float | None] = []
    for share in REFERRED:
        answered = len(targets) - round(share * len(targets))
        hit, truth = (answers == targets)[:answered], targets[:answered]
        of_mpox = hit[truth == positive] if positive is not None else hit[:0]
        accuracy.append(float(hit.mean()) if len(hit) else None)
        sensitivity.append(float(of_mpox.mean()) if len(of_mpox) else None)
    return Referral(tuple(map(float, REFERRED)), tuple(accuracy), tuple(sensitivity))
