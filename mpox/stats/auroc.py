"""The interval of an AUROC where photos of one subject are not independent, and where there are few of them.

A bootstrap of few groups is too narrow, and near 1 lies too high. So the variance is that of the groups' influences
(Obuchowski, Biometrics 1997; of groups of one photo it is DeLong's), and the interval Student's t on the scale of the
logit, which keeps it below 1.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from mpox.stats.intervals import Interval


def auroc_interval(
    value: float | None,
    scores_KNC: np.ndarray,
    targets_N: np.ndarray,
    classes: Sequence[int],
    codes_N: np.ndarray,
    confidence: float,
) -> Interval:
    """Return the mean AUROC of `classes`, each against the rest, and over K networks: `value`, with its interval.

    scores float (K, N, C); codes_N int64: groups. Classes that all photos or none are of are left out. Degrees of
    freedom are Satterthwaite's of the classes' groups. Bounds are None where nothing tells how much groups differ: one
    group of a class, or every photo ranked rightly.
    """
    n = len(targets_N)
    both = [k for k in classes if 0 < (targets_N == k).sum() < n]
    if value is None or not np.isfinite(value) or not both:
        return Interval(None, None, None, n)
    nothing = Interval(float(value), None, None, n)
    if not 0 < value < 1:
        return nothing
    influence = np.mean([_influence(one[:, k], targets_N == k) for one in scores_KNC for k in both], axis=0)
    sides = targets_N if len(both) > 1 else (targets_N == both[0])
    _, codes = np.unique(codes_N, return_inverse=True)
    variances, freedoms, sums = [], [], np.zeros(codes.max() + 1)
    for side in np.unique(sides):
        mine = sides == side
        n_groups = len(np.unique(codes[mine]))
        if n_groups < 2:
            return nothing
        scale = n_groups / (n_groups - 1)
        own = np.bincount(codes[mine], influence[mine], len(sums)) * np.sqrt(scale)
        sums += own
        variances.append(float(np.square(own).sum()))
        freedoms.append(n_groups - 1)
    variance = float(np.square(sums).sum())
    if variance < 1e-20:
        return nothing
    freedom = sum(variances) ** 2 / sum(v**2 / freedom for v, freedom in zip(variances, freedoms, strict=True))
    middle = np.log(value / (1 - value))
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * np.sqrt(variance) / (value * (1 - value))
    low, high = (1 / (1 + np.exp(-(middle + side * half))) for side in (-1, 1))
    return Interval(float(value), float(low), float(high), n)


def _influence(score_N: np.ndarray, is_class_N: np.ndarray) -> np.ndarray:
    """What each photo moves the AUROC by (float, N): its placement among the other side's photos, less the mean."""
    ranks, influence = stats.rankdata(score_N), np.zeros(len(score_N))
    for side, sign in ((is_class_N, 1), (~is_class_N, -1)):
        # Photos of the other side below it, ties by half; of the rest, those above it.
        below = ranks[side] - stats.rankdata(score_N[side])
        influence[side] = sign * (below - below.mean()) / ((~side).sum() * side.sum())
    return influence
