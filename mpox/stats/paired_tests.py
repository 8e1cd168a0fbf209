"""Is one model better than another, or is the difference chance? Tests for models compared on the same folds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

# Fewer data sets than this and Friedman's test cannot distinguish models (Demšar 2006 asks for more than ten, or five).
MIN_DATASETS = 5
# The variance that rounding leaves of differences that are all alike.
ALIKE = 1e-24


@dataclass(frozen=True)
class FoldDifference:
    """The posterior of the true mean difference: Student's t of df degrees of freedom about mean, scaled by se > 0."""

    mean: float
    se: float
    df: int

    @property
    def t(self) -> float:
        """The statistic."""
        return self.mean / self.se

    @property
    def p(self) -> float:
        """Two-sided p of the hypothesis that the mean difference is 0."""
        return float(2 * stats.t.sf(abs(self.t), self.df))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the bounds of the mean difference (also the Bayesian test's highest-density ones)."""
        reach = float(stats.t.ppf((1 + confidence) / 2, self.df)) * self.se
        return self.mean - reach, self.mean + reach

    def probabilities(self, rope: float) -> tuple[float, float, float]:
        """Return P(difference > rope), P(-rope <= difference <= rope), P(difference < -rope)."""
        above = float(stats.t.sf((rope - self.mean) / self.se, self.df))
        below = float(stats.t.cdf((-rope - self.mean) / self.se, self.df))
        return above, max(0.0, 1 - above - below), below


def fold_difference(
    first_K: Sequence[float], second_K: Sequence[float], test_to_train: float, *, least_se: float = 0.0
) -> FoldDifference | None:
    """Compare two models' scores on the same K folds, allowing for training sets that overlap.

    The variance of the mean is (1/K + n_test/n_train) times that of the differences (Nadeau & Bengio 2003); a flat
    prior makes it the posterior of the Bayesian correlated t-test (Benavoli et al. 2017). `test_to_train` is
    n_test/n_train: 1/(K-1) in plain cross-validation, 1/(K-2) where one more fold validates. `least_se`: the standard
    error that drawing other photos alone would give (of the bootstrap), below which folds that happen to differ nearly
    alike cannot bring it. None where all folds differ by the same: their variance is not 0, it is not known. Raises
    ValueError for fewer than two folds or scores that are not finite.
    """
    differences = np.asarray(first_K, float) - np.asarray(second_K, float)
    if len(differences) < 2 or not np.isfinite(differences).all():
        raise ValueError("a test over folds needs finite scores on two folds or more")
    (mean,), (se,), (n,) = corrected_errors(differences[None], test_to_train)
    return None if np.isnan(se) else FoldDifference(float(mean), max(float(se), least_se), int(n) - 1)


def corrected_errors(differences_MK: np.ndarray, test_to_train: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (M), corrected standard error (M) and number (M) of M rows of differences over K folds.

    NaN is a fold that is not defined. The error is NaN where fewer than two are, or all are alike.
    """
    defined = np.isfinite(differences_MK)
    n = defined.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(defined, differences_MK, 0).sum(1) / n
        variance = np.where(defined, np.square(differences_MK - mean[:, None]), 0).sum(1) / (n - 1)
        se = np.sqrt((1 / n + test_to_train) * variance)
    return mean, np.where((n > 1) & (variance > ALIKE), se, np.nan), n


def mcnemar_exact(first_right_N: np.ndarray, second_right_N: np.ndarray) -> tuple[int, int, float]:
    """Return on how many photos only the first, only the second is right (bool, N), and the exact two-sided p.

    Takes photos for independent: with several photos a subject the p is too small.
    """
    only_first = int(np.sum(first_right_N & ~second_right_N))
    only_second = int(np.sum(~first_right_N & second_right_N))
    if only_first + only_second == 0:
        return 0, 0, 1.0
    result = mcnemar([[0, only_first], [only_second, 0]], exact=True)
    return only_first, only_second, min(1.0, float(result.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that all together err with the level of one (Holm 1979)."""
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if len(p_values) else []


@dataclass(frozen=True)
class RankComparison:
    """Friedman's p; mean rank a model (1 is best); Nemenyi's critical difference of them and p of each pair."""

    friedman_p: float
    mean_ranks: dict[str, float]
    critical_difference: float
    pairs: dict[str, dict[str, float]]


def compare_over_datasets(scores: pd.DataFrame, alpha: float) -> RankComparison:
    """Compare models (columns, three or more) over independent data sets (rows) by their ranks (Demšar 2006).

    Higher scores are better. Raises ValueError for fewer than MIN_DATASETS rows or three columns: folds of one data set
    share their training photos and must not replace data sets.
    """
    n_sets, n_models = scores.shape
    if n_sets < MIN_DATASETS or n_models < 3:
        raise ValueError(f"{n_sets} data sets and {n_models} models: {MIN_DATASETS} and 3 are the least")
    names = [str(name) for name in scores.columns]
    ranks = scores.rank(axis=1, ascending=False).mean()
    import scikit_posthocs  # half a second, for what few studies have

    pairs = scikit_posthocs.posthoc_nemenyi_friedman(scores.to_numpy())
    width = stats.studentized_range.ppf(1 - alpha, n_models, np.inf) / np.sqrt(2)
    return RankComparison(
        friedman_p=float(stats.friedmanchisquare(*(scores[name] for name in scores.columns)).pvalue),
        mean_ranks=dict(zip(names, map(float, ranks), strict=True)),
        critical_difference=float(width * np.sqrt(n_models * (n_models + 1) / (6 * n_sets))),
        pairs={a: {b: float(pairs.iloc[i, j]) for j, b in enumerate(names)} for i, a in enumerate(names)},
    )
