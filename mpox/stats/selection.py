"""The chosen model's figure, corrected for the choice itself: the best of several seems better than it is.

Bootstrap bias-corrected cross-validation (Tsamardinos, Greasidou & Borboudakis, Machine Learning 2018): the stored
predictions of held-out photos are resampled, the choice is made in the resample, and what was chosen is scored on the
photos left outside. Nothing is trained again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mpox.stats.metrics import METRICS
from mpox.stats.pooled import Weighted

# Resamples that must leave photos of every class outside, for a metric that is a mean over the classes.
LEAST = 100
METHOD = "bootstrap bias-corrected cross-validation over groups (Tsamardinos et al. 2018)"
RESAMPLES = 500
# An interval that is no wider is rounding.
ALIKE = 1e-12


@dataclass(frozen=True)
class Corrected:
    """A metric of the chosen model, allowing for its choice among all compared; `low` and `high` at the confidence.

    Both are None where the resamples are all alike (every answer right): how far the figure may be off is not known.
    """

    metric: str
    estimate: float
    low: float | None
    high: float | None
    method: str

    @property
    def figure(self) -> float:
        """The estimate, which the interval is about."""
        return self.estimate


def corrected_for_choice(
    logits: Sequence[np.ndarray],
    targets_N: np.ndarray,
    codes_N: np.ndarray,
    fold_N: np.ndarray,
    choose: Callable[[np.ndarray], int],
    *,
    metric: str,
    positive: int | None,
    confidence: float,
    seed: int,
    resamples: int = RESAMPLES,
) -> Corrected | None:
    """Return the chosen model's `metric`, corrected for the choice; None where hardly a resample leaves it defined.

    A mean over the classes is another figure where one of them has no photo, so that resamples that leave none of a
    class outside are not counted.

    logits: one array (N, C) a model, of photos that its networks did not train on; codes_N int64: groups, drawn whole;
    fold_N int64 (N): 0..K-1. `choose` is the rule: from scores (M models, K folds; NaN undefined) to a model's number.
    """
    n_groups, n_folds = int(codes_N.max()) + 1, int(fold_N.max()) + 1
    random = np.random.default_rng(seed)
    drawn = random.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples)[:, codes_N].astype("float32")
    by_fold = np.equal.outer(np.arange(n_folds), fold_N).astype("float32")
    inside = (drawn[:, None, :] * by_fold).reshape(-1, len(targets_N))
    weights = np.concatenate([inside, (drawn == 0).astype("float32")])
    figures = np.stack([METRICS[metric].of(Weighted(one, targets_N, weights, positive)) for one in logits])
    folds = figures[:, : len(inside)].reshape(len(logits), resamples, n_folds)
    outside = figures[:, len(inside) :]
    taken = np.array([outside[choose(folds[:, r]), r] for r in range(resamples)])
    usable = np.isfinite(taken)
    if METRICS[metric].over_classes:
        usable &= np.all([((drawn == 0) & (targets_N == k)).any(1) for k in np.unique(targets_N)], axis=0)
    taken = taken[usable]
    if len(taken) < min(LEAST, resamples / 2):
        return None
    tail = (1 - confidence) / 2
    low, high = map(float, np.quantile(taken, [tail, 1 - tail]))
    wide = high - low > ALIKE
    return Corrected(metric, float(taken.mean()), low if wide else None, high if wide else None, METHOD)
