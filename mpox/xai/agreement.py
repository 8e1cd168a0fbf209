"""Agreement of raters beyond chance. Ratings are a table, units x raters, of codes 0..K-1; -1 where one is missing."""

import numpy as np
from sklearn.metrics import cohen_kappa_score


def cohen_kappa(ratings_UR: np.ndarray, scale: str = "nominal") -> float:
    """Cohen's kappa of two raters over the units that both rated, by scikit-learn; squared weights on an ordinal scale.

    NaN where fewer than two units were rated by both, or neither varies. ValueError: another number of raters.
    """
    if ratings_UR.shape[1] != 2:
        raise ValueError(f"Cohen's kappa is of two raters, not {ratings_UR.shape[1]}")
    both = ratings_UR[(ratings_UR >= 0).all(1)]
    if len(both) < 2 or len(np.unique(both)) < 2:
        return float("nan")
    # All codes up to the highest: an option that nobody chose is still a step between its neighbours.
    codes = np.arange(both.max() + 1)
    weights = "quadratic" if scale == "ordinal" else None
    return float(cohen_kappa_score(both[:, 0], both[:, 1], labels=codes, weights=weights))


def fleiss_kappa(ratings_UR: np.ndarray) -> float:
    """Fleiss' kappa (Psychological Bulletin 1971) over the units that every rater rated; the scale is nominal.

    NaN for fewer than two raters, no such unit, or one category only.
    """
    whole = ratings_UR[(ratings_UR >= 0).all(1)]
    if ratings_UR.shape[1] < 2 or not len(whole):
        return float("nan")
    counts = np.stack([(whole == code).sum(1) for code in range(int(whole.max()) + 1)], 1).astype(float)
    n = ratings_UR.shape[1]
    observed = ((counts**2).sum(1) - n).mean() / (n * (n - 1))
    expected = ((counts.sum(0) / counts.sum()) ** 2).sum()
    return float("nan") if expected == 1 else float((observed - expected) / (1 - expected))


def krippendorff_alpha(ratings_UR: np.ndarray, scale: str = "nominal") -> float:
    """Krippendorff's alpha for a nominal or ordinal scale, any number of raters, missing ratings allowed.

    From the coincidences of values within units (Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011).
    NaN where no unit was rated twice or all ratings are the same. Raises ValueError for another scale.
    """
    if scale not in ("nominal", "ordinal"):
        raise ValueError(f"scale {scale} is not supported")
    n_codes = int(ratings_UR.max()) + 1
    coincidences = np.zeros((n_codes, n_codes))
    for unit in ratings_UR:
        counts = np.bincount(unit[unit >= 0], minlength=n_codes).astype(float)
        if counts.sum() > 1:
            coincidences += (np.outer(counts, counts) - np.diag(counts)) / (counts.sum() - 1)
    totals, n = coincidences.sum(1), coincidences.sum()
    codes = np.arange(n_codes)
    if scale == "nominal":
        distance = (codes[:, None] != codes).astype(float)
    else:
        # Distance of ranks: the number of values from one code to the other, both ends counted half.
        middle = np.cumsum(totals) - totals / 2
        distance = (middle[:, None] - middle) ** 2
    expected = (np.outer(totals, totals) * distance).sum()
    if not expected:
        return float("nan")
    return float(1 - (n - 1) * (coincidences * distance).sum() / expected)
