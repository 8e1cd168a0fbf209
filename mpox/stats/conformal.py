"""When to say less: prediction sets that hold the truth as often as promised, and photos left to a clinician."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from mpox.stats.intervals import proportion
from mpox.stats.model_result import Conformal, CoverageOfClass, Referral

METHOD = "split conformal, least ambiguous sets (Sadinle et al. 2019), calibrated on each validation fold"
# Shares of the photos that are referred, of the accuracy-referral curve.
REFERRED = np.arange(0, 31) / 50


class _Stated(ClassifierMixin, BaseEstimator):
    """What MAPIE takes for a classifier: the probabilities it is given are its answer."""

    def __init__(self, n_classes: int = 2) -> None:
        self.n_classes = n_classes
        self.classes_ = np.arange(n_classes)
        self.n_features_in_ = n_classes

    def fit(self, *_: Any) -> "_Stated":
        return self

    def predict_proba(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities

    def predict(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities.argmax(1)


def prediction_sets(
    val_NC: np.ndarray,
    val_targets_N: np.ndarray,
    test_MC: np.ndarray,
    target: float,
) -> np.ndarray:
    """Return for each test photo which classes its set holds: bool (M, C). Probabilities float64 (N, C), (M, C).

    With fewer validation photos than 1/(1 - target) no set short of all classes can promise as much: all classes.
    """
    n_classes = val_NC.shape[1]
    if len(val_NC) + 1 < 1 / (1 - target) + 1e-9:
        return np.ones(test_MC.shape, bool)
    conformal = SplitConformalClassifier(_Stated(n_classes), confidence_level=target, conformity_score="lac")
    with warnings.catch_warnings():
        # A class without validation photos is no error here: coverage is promised over all photos, not a class.
        warnings.filterwarnings("ignore", ".*less labels than.*", UserWarning)
        conformal.conformalize(val_NC, val_targets_N)
    return conformal.predict_set(test_MC)[1][:, :, 0].astype(bool)


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
        mine = targets_N == k
        if mine.any():
            coverage = proportion(held[mine], codes_N[mine], confidence)
            per_class.append(CoverageOfClass(label, coverage, float(sizes[mine].mean())))
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
