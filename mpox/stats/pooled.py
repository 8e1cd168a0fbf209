"""Sums over photos under many weightings at once: a fold, all of them, thousands of resamples.

A weighting is a row of whole numbers, one a photo. Each metric of `mpox.stats.metrics` is a function of weighted sums,
so that one matrix product replaces a loop over resamples.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Bins of the expected calibration error (Guo et al. 2017 use 15), equal in width.
ECE_BINS = 15
# Bytes of the largest array of comparisons between photos that is held at once.
BLOCK_BYTES = 200_000_000


@dataclass(frozen=True)
class Weighted:
    """Answers of one network to N photos of C classes under R weightings: what a metric is computed from.

    logits float (N, C), finite; targets int64 (N); weights float32 (R, N), whole numbers >= 0; `positive` the index of
    the mpox class. What is summed is float64 with R first.
    """

    logits: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    positive: int | None

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits (N, C)."""
        return softmax(self.logits)

    @cached_property
    def answers(self) -> np.ndarray:
        """The most probable class (N)."""
        return np.asarray(self.logits.argmax(1))

    @cached_property
    def counts(self) -> np.ndarray:
        """Confusion counts (R, C, C): rows are true classes, columns answers."""
        return weighted_confusion(self.answers, self.targets, self.weights, self.logits.shape[1])

    @cached_property
    def hits(self) -> np.ndarray:
        """Photos of each class answered rightly (R, C)."""
        return np.einsum("rkk->rk", self.counts)

    @property
    def of_class(self) -> np.ndarray:
        """Photos of each class (R, C)."""
        return np.asarray(self.counts.sum(2))

    @property
    def answered(self) -> np.ndarray:
        """Photos answered as each class (R, C)."""
        return np.asarray(self.counts.sum(1))

    @cached_property
    def total(self) -> np.ndarray:
        """Photos in all (R)."""
        return np.asarray(self.counts.sum((1, 2)))

    @cached_property
    def recall(self) -> np.ndarray:
        """Share of each class's photos answered so (R, C); NaN without any."""
        return _ratio(self.hits, self.of_class)

    @cached_property
    def precision(self) -> np.ndarray:
        """Share of the photos answered as a class that are of it (R, C); NaN where none is."""
        return _ratio(self.hits, self.answered)

    @cached_property
    def specificity(self) -> np.ndarray:
        """Share of the other classes' photos not answered as a class (R, C); NaN without any."""
        others = self.total[:, None] - self.of_class
        return _ratio(others - self.answered + self.hits, others)

    @cached_property
    def f1(self) -> np.ndarray:
        """F1 of each class (R, C); NaN where it is neither there nor answered."""
        return _ratio(2 * self.hits, self.of_class + self.answered)

    @cached_property
    def ranking(self) -> tuple[np.ndarray, np.ndarray]:
        """AUROC and average precision of each class against the rest, (R, C) each; NaN where one side is empty."""
        classes = range(self.logits.shape[1])
        pairs = [_ranking(self.probabilities[:, k], self.targets == k, self.weights) for k in classes]
        return np.stack([auroc for auroc, _ in pairs], 1), np.stack([precision for _, precision in pairs], 1)

    def mean(self, values_N: np.ndarray) -> np.ndarray:
        """Return the weighted mean (R) of a value a photo."""
        return _ratio(self.weights @ values_N, self.total)

    def surprise(self) -> np.ndarray:
        """Return -ln of the probability of the truth (N), nats."""
        logits = self.logits.astype("float64")
        logits = logits - logits.max(1, keepdims=True)
        return np.asarray(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), self.targets])


def softmax(logits_NC: np.ndarray, temperature: float | np.ndarray = 1.0) -> np.ndarray:
    """Return probabilities (N, C) float64 of logits divided by `temperature` (a number, or (N, 1))."""
    scaled = logits_NC.astype("float64") / temperature
    exponentials = np.exp(scaled - scaled.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def weighted_confusion(
    answers_N: np.ndarray,
    targets_N: np.ndarray,
    weights_RN: np.ndarray,
    n_classes: int,
) -> np.ndarray:
    """Return weighted counts (R, C, C) float64: rows are true classes, columns answers."""
    cells = np.zeros((len(targets_N), n_classes**2), "float32")
    cells[np.arange(len(targets_N)), targets_N * n_classes + answers_N] = 1
    return (weights_RN @ cells).astype("float64").reshape(-1, n_classes, n_classes)


def balanced_accuracy(counts_RCC: np.ndarray) -> np.ndarray:
    """Return the mean recall over the classes present (R) of confusion counts (R, C, C)."""
    return mean_defined(_ratio(np.einsum("rkk->rk", counts_RCC), counts_RCC.sum(2)))


def mean_defined(values_RC: np.ndarray) -> np.ndarray:
    """Mean over the classes that are defined; NaN where none is."""
    defined = np.isfinite(values_RC)
    return _ratio(np.where(defined, values_RC, 0).sum(1), defined.sum(1))


def matthews(weighted: Weighted) -> np.ndarray:
    """Matthews' correlation for many classes (Gorodkin 2004); NaN where the photos or the answers are of one class."""
    total, of_class, answered = weighted.total, weighted.of_class, weighted.answered
    covariance = weighted.hits.sum(1) * total - (of_class * answered).sum(1)
    spread = (total**2 - np.square(answered).sum(1)) * (total**2 - np.square(of_class).sum(1))
    return _ratio(covariance, np.sqrt(np.maximum(spread, 0)))


def _ranking(scores: np.ndarray, is_class: np.ndarray, weights_RN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return AUROC (Mann-Whitney, ties count half) and average precision of one class against the rest, each (R)."""
    inside, outside = scores[is_class], scores[~is_class]
    own, others = weights_RN[:, is_class], weights_RN[:, ~is_class]
    n_resamples = len(weights_RN)
    wins, precision = np.zeros(n_resamples), np.zeros(n_resamples)
    for part in _blocks(len(inside), len(scores)):
        above = (inside[part, None] > outside).astype("float32")
        above += np.float32(0.5) * (inside[part, None] == outside)
        wins += np.einsum("rp,rp->r", own[:, part] @ above, others, dtype="float64")
        true = own @ (inside >= inside[part, None]).T.astype("float32")
        false = others @ (outside >= inside[part, None]).T.astype("float32")
        found = np.divide(true, true + false, out=np.zeros_like(true), where=true > 0)
        precision += np.einsum("rp,rp->r", found, own[:, part], dtype="float64")
    n_inside, n_outside = own.sum(1, dtype="float64"), others.sum(1, dtype="float64")
    defined = (n_inside > 0) & (n_outside > 0)
    return _ratio(wins, n_inside * n_outside), np.where(defined, _ratio(precision, n_inside), np.nan)


def _blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // (4 * max(1, n_columns)))
    for start in range(0, n_rows, step):
        yield slice(start, start + step)


def calibration_error(weighted: Weighted) -> np.ndarray:
    """Mean over photos of |stated - right| by bins of equal width (R); a probability of 1 has its own bin."""
    stated, hit = weighted.probabilities.max(1), weighted.answers == weighted.targets
    edges = np.linspace(0, 1, ECE_BINS + 1, dtype="float32")
    bins = np.zeros((len(hit), ECE_BINS + 1))
    bins[np.arange(len(hit)), np.searchsorted(edges, stated, side="right") - 1] = stated - hit
    return _ratio(np.abs(weighted.weights @ bins).sum(1), weighted.total)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide; NaN for 0 / 0."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
