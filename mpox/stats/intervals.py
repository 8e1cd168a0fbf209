"""How far a figure from this many photos can be trusted, where photos of one subject are not independent.

Two instruments: the bootstrap over groups (Field & Welsh 2007: whole clusters are drawn, never single photos) for any
figure, and Wilson's interval on the effective sample size (Rao & Scott 1992) for proportions, which stays honest at 0
and 1 where the bootstrap collapses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.proportion import proportion_confint


@dataclass(frozen=True)
class Interval:
    """A figure with its interval at `Comparison.confidence`; `n` photos bear on it. Undefined parts are None."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def group_codes(groups: Sequence[str] | np.ndarray) -> np.ndarray:
    """Number the groups 0..G-1: int64 (N)."""
    return np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1].astype("int64")


def resampling_weights(codes_N: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return how often each photo is in each resample: float32 (R, N), whole numbers.

    Each resample draws as many groups as there are, with replacement, and takes all photos of each. The same weights
    for every model make differences between models paired.
    """
    n_groups = int(codes_N.max()) + 1
    random = np.random.default_rng(seed)
    drawn = random.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples)
    return drawn.astype("float32")[:, codes_N]


def percentile_interval(
    value: float | None,
    draws_R: np.ndarray,
    n: int,
    confidence: float,
) -> Interval:
    """Return the percentile interval of bootstrap draws (R, NaN where undefined) around the figure `value`.

    Bounds are None where no draw is defined, and where all are alike: an interval of no width (every answer right)
    says that the bootstrap sees no variation, not that there is none.
    """
    draws = draws_R[np.isfinite(draws_R)]
    if value is None or not np.isfinite(value):
        return Interval(None, None, None, n)
    if not len(draws) or np.ptp(draws) < 1e-12:
        return Interval(float(value), None, None, n)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high), n)


def effective_size(hits_N: np.ndarray, codes_N: np.ndarray) -> float:
    """Return how many independent photos tell as much about the share of hits (bool, N) as these N in groups.

    N divided by the design effect, the variance of the share between groups over that of independent photos (Rao &
    Scott 1992), which is never taken to be below 1. Where all photos agree no effect can be seen: the number of groups.
    One group is one observation, whatever its photos say.
    """
    n, share = len(hits_N), float(np.mean(hits_N))
    n_groups = len(np.unique(codes_N))
    if share in (0.0, 1.0) or n_groups == 1:
        return float(n_groups)
    _, codes = np.unique(codes_N, return_inverse=True)
    residuals = np.bincount(codes, weights=hits_N - share)
    effect = float(np.square(residuals).sum() / n**2) / (share * (1 - share) / n)
    return n / max(1.0, effect)


def proportion(hits_N: np.ndarray, codes_N: np.ndarray, confidence: float) -> Interval:
    """Return the share of hits (bool, N) with Wilson's interval on the effective sample size; undefined for N = 0."""
    n = len(hits_N)
    if n == 0:
        return Interval(None, None, None, 0)
    share, size = float(np.mean(hits_N)), effective_size(hits_N, codes_N)
    low, high = proportion_confint(share * size, size, alpha=1 - confidence, method="wilson")
    return Interval(share, float(low) if share > 0 else 0.0, float(high) if share < 1 else 1.0, n)
