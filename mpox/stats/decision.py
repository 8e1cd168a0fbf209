"""From logits to an answer: temperature, threshold and prediction sets, fitted on held-out photos of all folds.

One fold's validation photos are too few: the threshold of 28 photos of mpox misses 95 % sensitivity on average, and a
temperature of 76 photos can make probabilities worse. Every photo of a study is held out once, so that all of them
together fit what leaves the study; for its figures each fold is judged by what the other folds' photos give.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpox.stats.calibration import fit_temperature
from mpox.stats.intervals import group_codes, resampling_weights
from mpox.stats.pooled import softmax

RESAMPLES = 1000


@dataclass(frozen=True)
class Decision:
    """How logits become an answer.

    temperature: logits are divided by it. threshold: a photo is called mpox when its probability reaches it, or is the
    largest; `threshold_low` and `threshold_high` are its interval over resampled groups. All three are None where no
    class is mpox, and 0, None, None where there are too few photos of mpox to promise `target_sensitivity`.
    quantiles: class k belongs to the prediction set of a photo when 1 - p_k <= quantiles[k]; 1.0 where the class has
    too few groups to promise `coverage`: then it is in every set.
    """

    temperature: float
    threshold: float | None
    threshold_low: float | None
    threshold_high: float | None
    quantiles: tuple[float, ...]
    target_sensitivity: float
    coverage: float

    def probabilities(self, logits_NC: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C) float64 at the temperature."""
        return softmax(logits_NC, self.temperature)

    def called_positive(self, probabilities_NC: np.ndarray, positive: int) -> np.ndarray:
        """Return which photos (bool, N) are called mpox: the probability reaches the threshold, or is the largest."""
        return called_positive(probabilities_NC, positive, self.threshold)

    def sets(self, probabilities_NC: np.ndarray) -> np.ndarray:
        """Return which classes the prediction set of each photo holds: bool (N, C)."""
        return 1 - probabilities_NC <= np.array(self.quantiles) + 1e-12


def called_positive(probabilities_NC: np.ndarray, positive: int, threshold: float | np.ndarray | None) -> np.ndarray:
    """Return which photos (bool, N) are called mpox; `threshold` is one number, one a photo, or None (largest only)."""
    largest = probabilities_NC.argmax(1) == positive
    return largest if threshold is None else largest | (probabilities_NC[:, positive] >= threshold)


def fit_decision(
    logits_NC: np.ndarray,
    targets_N: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    positive: int | None,
    *,
    target_sensitivity: float,
    coverage: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> Decision:
    """Fit temperature, threshold and quantiles to held-out photos: logits float (N, C), targets int64 (N).

    `groups` (N) are of photos that are not independent; `confidence` is that of the threshold's interval.
    """
    temperature = fit_temperature(logits_NC, targets_N)
    probabilities, codes = softmax(logits_NC, temperature), group_codes(groups)
    threshold, low, high = None, None, None
    if positive is not None:
        sick = targets_N == positive
        chances = probabilities[sick, positive]
        threshold = threshold_for(chances, target_sensitivity)
        if threshold:
            low, high = _threshold_interval(chances, codes[sick], target_sensitivity, confidence, seed)
    return Decision(
        temperature=temperature,
        threshold=threshold,
        threshold_low=low,
        threshold_high=high,
        quantiles=class_quantiles(probabilities, targets_N, codes, coverage),
        target_sensitivity=target_sensitivity,
        coverage=coverage,
    )


def threshold_for(chances_P: np.ndarray, sensitivity: float) -> float | None:
    """Return the threshold that finds the next photo of mpox with at least this probability.

    `chances_P` are probabilities of mpox of P held-out photos of mpox. The ceil((P + 1) sensitivity)-th largest of them
    is exceeded by the next photo with probability ceil((P + 1) sensitivity) / (P + 1) (the order statistics of
    exchangeable draws); ceil(P sensitivity) would fall short. 0 where P is too small to promise it, None for P = 0.
    """
    n = len(chances_P)
    if not n:
        return None
    rank = math.ceil((n + 1) * sensitivity - 1e-9)
    return 0.0 if rank > n else float(np.sort(chances_P)[::-1][rank - 1])


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
        scores, (_, group, size) = (
            1 - probabilities_NC[own, k],
            np.unique(codes_N[own], return_inverse=True, return_counts=True),
        )
        order = np.argsort(scores)
        share = np.cumsum((1 / size[group])[order]) / (len(size) + 1) if own.any() else np.zeros(0)
        reached = np.flatnonzero(share >= coverage - 1e-9)
        quantiles.append(float(scores[order[reached[0]]]) if len(reached) else 1.0)
    return tuple(quantiles)


def _threshold_interval(
    chances: np.ndarray, codes: np.ndarray, sensitivity: float, confidence: float, seed: int
) -> tuple[float, float]:
    """Percentile interval of the threshold over resampled groups."""
    _, numbered = np.unique(codes, return_inverse=True)
    counts = resampling_weights(numbered, RESAMPLES, seed).astype(int)
    drawn = [threshold_for(np.repeat(chances, row), sensitivity) or 0.0 for row in counts if row.any()]
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)
