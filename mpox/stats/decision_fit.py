"""Fitting the rule from logits to a finding, on held-out photos of all folds: temperature, threshold, sets.

One fold's validation photos are too few: the threshold of 28 photos of mpox misses 95 % sensitivity on average, and a
temperature of 76 photos can make probabilities worse. Every photo of a study is held out once, so that all of them
together fit the exported rule; for its figures each fold is judged by what the other folds' photos give.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from mpox.stats.calibration import fit_temperature
from mpox.stats.decision import DecisionRule
from mpox.stats.intervals import group_codes
from mpox.stats.pooled import softmax


def fit_decision(
    logits_NC: np.ndarray,
    targets_N: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    positive: int | None,
    *,
    target_sensitivity: float,
    coverage: float,
    confidence: float | None = 0.95,
    fitted_on: str = "",
) -> DecisionRule:
    """Fit temperature, threshold and quantiles to held-out photos: logits float (N, C), targets int64 (N).

    `groups` (N) are of photos that are not independent; `confidence` is that of the threshold's interval, which is
    left out for None.
    """
    temperature = fit_temperature(logits_NC, targets_N)
    probabilities, codes = softmax(logits_NC, temperature), group_codes(groups)
    threshold, promised, low, high = None, None, None, None
    if positive is not None and (sick := targets_N == positive).any():
        chances = probabilities[sick, positive]
        threshold, promised = threshold_for(chances, codes[sick], target_sensitivity)
        if confidence is not None:
            low, high = threshold_interval(chances, codes[sick], target_sensitivity, confidence)
    return DecisionRule(
        temperature=temperature,
        threshold=threshold,
        threshold_low=low,
        threshold_high=high,
        promised_sensitivity=promised,
        quantiles=class_quantiles(probabilities, targets_N, codes, coverage),
        target_sensitivity=target_sensitivity,
        coverage=coverage,
        fitted_on=fitted_on,
    )


def threshold_for(chances_P: np.ndarray, groups_P: np.ndarray, sensitivity: float) -> tuple[float, float]:
    """Return the threshold that the next photo of mpox reaches with at least this probability, and that probability.

    `chances_P` are probabilities of mpox of P >= 1 held-out photos of mpox; `groups_P` of photos that are not
    independent. With groups of one the next photo reaches the r-th largest with probability r / (P + 1) (the order
    statistics of exchangeable draws), so that r = ceil((P + 1) sensitivity); ceil(P sensitivity) would fall short.
    Photos of one group share one vote, as in hierarchical conformal prediction (Lee, Barber & Willett 2023): G groups
    promise G / (G + 1) at most, by the smallest of all, which is returned where more is asked.
    """
    return _threshold(chances_P, _votes(groups_P), sensitivity)


def _threshold(chances: np.ndarray, votes: np.ndarray, sensitivity: float) -> tuple[float, float]:
    order = np.argsort(-chances)
    share = np.cumsum(votes[order]) / (votes.sum() + 1)
    rank = min(int(np.searchsorted(share, sensitivity - 1e-9)), len(share) - 1)
    return float(chances[order[rank]]), float(share[rank])


def _votes(groups: np.ndarray) -> np.ndarray:
    """Each photo's share of the one vote of its group: float, 0..1."""
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    votes: np.ndarray = 1 / size[group]
    return votes


def class_quantiles(
    probabilities_NC: np.ndarray, targets_N: np.ndarray, codes_N: np.ndarray, coverage: float
) -> tuple[float, ...]:
    """Return for each class the largest 1 - p at which its own photos are in their sets at the rate `coverage`.

    Class-conditional (Mondrian) split conformal prediction. Photos of one group (`codes_N`, int64) share one vote, as
    in hierarchical conformal prediction (Lee, Barber & Willett 2023): with groups of one it is the usual rank
    ceil((n + 1) coverage). 1.0 where a class has too few groups to promise it.
    """
    quantiles = []
    for k in range(probabilities_NC.shape[1]):
        own = targets_N == k
        quantile = 1.0
        if own.any():
            reached, share = threshold_for(probabilities_NC[own, k], codes_N[own], coverage)
            quantile = 1 - reached if share >= coverage - 1e-9 else 1.0
        quantiles.append(quantile)
    return tuple(quantiles)


def threshold_interval(
    chances_P: np.ndarray, groups_P: np.ndarray, sensitivity: float, confidence: float
) -> tuple[float, float]:
    """Return the interval of the threshold that `sensitivity` of all photos of mpox reach: order statistics.

    Of G groups, a vote each as in `threshold_for`, how many lie below that threshold is binomial. Bounds are
    0 and 1 where G are too few for one: of 71 groups or fewer it may be that none lies below the threshold of 95 %.
    """
    order, votes = np.argsort(chances_P), _votes(groups_P)
    n_groups = len(np.unique(groups_P))
    share = np.cumsum(votes[order]) / n_groups
    tail = (1 - confidence) / 2
    below, above = stats.binom.ppf([tail, 1 - tail], n_groups, 1 - sensitivity)
    low, high = (int(np.searchsorted(share, rank / n_groups - 1e-9)) for rank in (below, above + 1))
    return (
        float(chances_P[order[low]]) if below > 0 else 0.0,
        float(chances_P[order[high]]) if above < n_groups else 1.0,
    )
