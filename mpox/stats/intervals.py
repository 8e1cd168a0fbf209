"""How far a figure from this many photos can be trusted, where photos of one subject are not independent.

For shares, and for means of shares such as balanced accuracy, Wilson's interval on the effective sample size, which has
a width at 0 and 1 too; for AUROC that of `mpox.stats.auroc`; for every other figure the bootstrap over groups (Field &
Welsh 2007: whole clusters are drawn, never single photos).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

# Of reports that do not ask: the comparison's own is an option.
CONFIDENCE, RESAMPLES = 0.95, 2000


@dataclass(frozen=True)
class Interval:
    """A figure with its interval at `Comparison.confidence`; `n` photos bear on it. Undefined parts are None."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> "Interval":
        """Return the interval of its fields in a JSON report; older ones lack `n`."""
        return cls(fields["value"], fields["low"], fields["high"], fields.get("n", 0))

    @property
    def figure(self) -> float | None:
        """The value."""
        return self.value


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
    means that the bootstrap sees no variation, not that there is none. Shares have `proportion` instead.
    """
    draws = draws_R[np.isfinite(draws_R)]
    if value is None or not np.isfinite(value):
        return Interval(None, None, None, n)
    if not len(draws) or np.ptp(draws) < 1e-12:
        return Interval(float(value), None, None, n)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high), n)


def mean_interval(
    values_N: np.ndarray, groups_N: Sequence[str] | np.ndarray, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """Return the mean of values (float, N; NaN are left out) with its percentile interval over groups."""
    defined = np.isfinite(values_N)
    n = int(defined.sum())
    if not n:
        return Interval(None, None, None, 0)
    values, weights = values_N[defined], resampling_weights(group_codes(np.asarray(groups_N)[defined]), RESAMPLES, seed)
    return percentile_interval(float(values.mean()), weights @ values / weights.sum(1), n, confidence)


def effective_size(hits_N: np.ndarray, codes_N: np.ndarray, confidence: float) -> float:
    """Return the effective sample size: how many independent photos tell as much of the share of hits (bool, 0..1; N).

    At most N, and at least the size there would be if those of a group were all alike: see `size_over_groups`.
    """
    share = float(np.mean(hits_N))
    _, codes, sizes = np.unique(codes_N, return_inverse=True, return_counts=True)
    return size_over_groups(share, np.bincount(codes, weights=hits_N - share), sizes, confidence)


def size_over_groups(share: float, residuals_G: np.ndarray, sizes_G: np.ndarray, confidence: float) -> float:
    """Return the effective sample size of a share, from each group's size and sum of residuals (float, G).

    The size at which independent photos would have the share's variance between groups (Rao & Scott 1992). That is
    estimated with G/(G-1), where groups differ in size by each one's part of it, n/(n-m) (Bell & McCaffrey 2002); and
    the size is shrunk by the squared ratio of the normal's to Student's quantile, since few groups tell little of their
    variance (Korn & Graubard 1998); its degrees of freedom are those of that estimate (Satterthwaite, as Bell &
    McCaffrey have them): G-1 of equal groups, near 1 where one group has most of the photos. At most n, the sum of the
    sizes; at least the size there would be if those of a group were all alike, n²/Σm² for groups of m, which is also
    what is left where all photos agree, so that no variance can be seen.
    """
    n = sizes_G.sum()
    least = float(n**2 / np.square(sizes_G).sum())
    if share in (0.0, 1.0) or np.count_nonzero(sizes_G) == 1:
        return least
    variance = float((np.square(residuals_G) / (1 - sizes_G / n)).sum()) / n**2
    # Of the sum of squares of r_g / sqrt(1 - m_g/n), which are correlated as residuals of independent photos are.
    parts = np.square(sizes_G) / (1 - sizes_G / n)
    freedom = n**2 / (np.square(sizes_G).sum() + (parts.sum() ** 2 - np.square(parts).sum()) / n**2)
    size = min(float(n), share * (1 - share) / variance + 1) if variance > 0 else float(n)
    tail = (1 + confidence) / 2
    return max(least, size * float(stats.norm.ppf(tail) / stats.t.ppf(tail, freedom)) ** 2)


def proportion(hits_N: np.ndarray, codes_N: np.ndarray, confidence: float) -> Interval:
    """Return the share of hits (bool or 0..1, N) with Wilson's interval on the effective size; undefined for N = 0."""
    n = len(hits_N)
    if n == 0:
        return Interval(None, None, None, 0)
    share = float(np.mean(hits_N))
    return Interval(share, *wilson(share, effective_size(hits_N, codes_N, confidence), confidence), n)


def wilson(share: float, size: float, confidence: float) -> tuple[float, float]:
    """Return the bounds of Wilson's interval of a share of `size` independent photos, which need not be whole."""
    from statsmodels.stats.proportion import proportion_confint  # a fifth of a second, which training need not wait for

    low, high = proportion_confint(share * size, size, alpha=1 - confidence, method="wilson")
    return float(low) if share > 0 else 0.0, float(high) if share < 1 else 1.0


def mean_proportion(hits_N: np.ndarray, strata_N: np.ndarray, codes_N: np.ndarray, confidence: float) -> Interval:
    """Return the mean over strata (int or str, N) of the share of hits in each; undefined for N = 0.

    With classes for strata it is balanced accuracy, with one stratum `proportion`. The bounds are put together from
    those of the shares, each as far from the mean as their distances add up to (MOVER: Zou & Donner 2008), groups that
    are in several strata correlating them as their residuals do.
    """
    names = np.unique(strata_N)
    if not len(names):
        return Interval(None, None, None, 0)
    parts = [strata_N == name for name in names]
    shares = [proportion(hits_N[part], codes_N[part], confidence) for part in parts]
    value, low, high = (np.array([getattr(one, side) for one in shares], float) for side in ("value", "low", "high"))
    _, codes = np.unique(codes_N, return_inverse=True)
    residuals = np.stack(
        [
            np.bincount(codes[part], hits_N[part] - mean, codes.max() + 1)
            for part, mean in zip(parts, value, strict=True)
        ]
    )
    norms = np.linalg.norm(residuals, axis=1)
    alike = residuals @ residuals.T / np.maximum(np.outer(norms, norms), np.finfo(float).tiny)
    np.fill_diagonal(alike, 1)
    below, above = (np.sqrt(max(0.0, float(d @ alike @ d))) / len(names) for d in (value - low, high - value))
    mean = float(value.mean())
    return Interval(mean, max(0.0, mean - below), min(1.0, mean + above), len(hits_N))


def difference(one: Interval, other: Interval) -> Interval:
    """Return one minus other with the bounds that follow from theirs, taken for independent (MOVER: Newcombe 1998).

    Bounds are None where one of the two has none.
    """
    if one.value is None or other.value is None:
        return Interval(None, None, None, one.n)
    value = one.value - other.value
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return Interval(value, None, None, one.n)
    below = float(np.hypot(one.value - one.low, other.high - other.value))
    above = float(np.hypot(one.high - one.value, other.value - other.low))
    return Interval(value, value - below, value + above, one.n)


def ratio(part: Interval, whole: Interval) -> Interval:
    """Return part over whole with the bounds that follow from theirs, taken for independent (MOVER: Donner & Zou 2012).

    Undefined where whole is not above 0; a bound is undefined where whole may be 0 within its own.
    """
    figures = (part.value, part.low, part.high, whole.value, whole.low, whole.high)
    if any(figure is None for figure in figures) or (whole.value or 0.0) <= 0:
        return Interval(None, None, None, part.n)
    a, a_low, a_high, b, b_low, b_high = (float(figure) for figure in figures if figure is not None)

    def bound(own: float, other: float, sign: int) -> float | None:
        scale = other * (2 * b - other)
        root = (a * b) ** 2 - own * (2 * a - own) * scale
        return (a * b + sign * float(np.sqrt(max(0.0, root)))) / scale if scale > 0 else None

    if b_low <= 0:
        return Interval(a / b, None, None, part.n)
    return Interval(a / b, bound(a_low, b_high, -1), bound(a_high, b_low, 1), part.n)
