"""Mpox or not at a threshold: judged on photos that it was not fitted on, carried to other prevalences."""

from collections.abc import Sequence

import numpy as np

from mpox.stats.decision import called_positive
from mpox.stats.intervals import Interval, effective_size, proportion
from mpox.stats.model_result import DecisionCurve, OperatingPoint, PredictiveValue

# Draws from which the interval of a predictive value is read.
DRAWS = 20_000
# Thresholds of the decision curve: referring only above 0.8 is of no clinical use.
THRESHOLDS = np.arange(1, 81) / 100


def operating_point(
    probabilities_NC: np.ndarray,
    targets_N: np.ndarray,
    positive: int,
    codes_N: np.ndarray,
    fold_N: np.ndarray,
    thresholds: Sequence[float | None],
    *,
    target_sensitivity: float,
    prevalences: Sequence[float],
    confidence: float,
    seed: int,
) -> OperatingPoint:
    """Judge photos at the threshold of their fold; `fold_N` counts into `thresholds`.

    A photo is called mpox by `mpox.stats.decision.called_positive`. Photos of folds without a threshold are left out.
    Sensitivity and specificity have Wilson's interval on the effective sample size; the predictive values follow by
    Bayes' rule, their intervals from Jeffreys posteriors.
    """
    limits = np.array([np.nan if limit is None else limit for limit in thresholds])[fold_N]
    used = np.isfinite(limits)
    called = called_positive(probabilities_NC[used], positive, limits[used])
    is_positive, codes = targets_N[used] == positive, codes_N[used]
    sick, well = (called[is_positive], codes[is_positive]), (~called[~is_positive], codes[~is_positive])
    random = np.random.default_rng(seed)
    draws = [_posterior(*side, confidence, random) for side in (sick, well)]
    sensitivity, specificity = proportion(*sick, confidence), proportion(*well, confidence)
    n = int(used.sum())
    return OperatingPoint(
        target_sensitivity=target_sensitivity,
        thresholds=tuple(thresholds),
        true_positive=int(sick[0].sum()),
        false_positive=int((~well[0]).sum()),
        true_negative=int(well[0].sum()),
        false_negative=int((~sick[0]).sum()),
        sensitivity=sensitivity,
        specificity=specificity,
        predictive_values=tuple(
            _predictive_value(sensitivity, specificity, draws, prevalence, n, confidence) for prevalence in prevalences
        ),
    )


def predictive_values(sensitivity: np.ndarray, specificity: np.ndarray, prevalence: float) -> tuple[np.ndarray, ...]:
    """Return PPV and NPV by Bayes' rule; NaN where no photo would be called so."""
    with np.errstate(invalid="ignore"):
        true_positive, false_positive = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
        true_negative, false_negative = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
        ppv = true_positive / (true_positive + false_positive)
        npv = true_negative / (true_negative + false_negative)
    return ppv, npv


def decision_curve(probability_N: np.ndarray, is_positive_N: np.ndarray) -> DecisionCurve:
    """Return the net benefit of referring at each threshold, of the model and of referring everyone.

    Net benefit is TP/N - FP/N * t/(1-t) (Vickers & Elkin 2006). Probabilities should be calibrated.
    """
    n, prevalence = len(probability_N), float(is_positive_N.mean())
    odds = THRESHOLDS / (1 - THRESHOLDS)
    called = probability_N >= THRESHOLDS[:, None]
    model = (called & is_positive_N).sum(1) / n - (called & ~is_positive_N).sum(1) / n * odds
    refer_all = prevalence - (1 - prevalence) * odds
    return DecisionCurve(
        thresholds=tuple(map(float, THRESHOLDS)),
        model=tuple(map(float, model)),
        refer_all=tuple(map(float, refer_all)),
        prevalence=prevalence,
    )


def _posterior(hits: np.ndarray, codes: np.ndarray, confidence: float, random: np.random.Generator) -> np.ndarray:
    if not len(hits):
        return np.full(DRAWS, np.nan)
    size, share = effective_size(hits, codes, confidence), float(hits.mean())
    return random.beta(share * size + 0.5, (1 - share) * size + 0.5, DRAWS)


def _predictive_value(
    sensitivity: Interval,
    specificity: Interval,
    draws: Sequence[np.ndarray],
    prevalence: float,
    n: int,
    confidence: float,
) -> PredictiveValue:
    point = [np.array(np.nan if side.value is None else side.value) for side in (sensitivity, specificity)]
    values = predictive_values(point[0], point[1], prevalence)
    drawn = predictive_values(draws[0], draws[1], prevalence)
    ppv, npv = (_interval(float(value), several, n, confidence) for value, several in zip(values, drawn, strict=True))
    return PredictiveValue(prevalence, ppv, npv)


def _interval(value: float, draws: np.ndarray, n: int, confidence: float) -> Interval:
    """Return the interval of the draws, widened to the value: at a share of 0 or 1 it lies beyond all draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    bounds = (value, np.fmin(low, value), np.fmax(high, value))
    middle, below, above = (float(x) if np.isfinite(x) else None for x in bounds)
    return Interval(middle, below, above, n)
