"""Tests of pairs and of ranks: against baycomp, scipy's binomial, and tables worked in the papers."""

import baycomp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mpox.stats.paired_tests import compare_over_datasets, fold_difference, holm, mcnemar_exact

# Ten folds of 0.960 to 1.000 with the means and deviations printed in the reference study: .980 (.023), .9725 (.018).
PLAIN_CV = 1 / 9


def folds_with(mean: float, sd: float, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=10)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), folds=st.integers(3, 20), rope=st.floats(0, 0.05))
def test_correlated_t_agrees_with_baycomp(seed: int, folds: int, rope: float) -> None:
    random = np.random.default_rng(seed)
    first, second = random.normal(0.85, 0.03, folds), random.normal(0.84, 0.03, folds)
    ours = fold_difference(first, second, 1 / (folds - 1)).probabilities(rope)
    found = baycomp.two_on_single(second, first, rope)  # baycomp takes second minus first
    if rope:
        theirs = (found[2], found[1], found[0])
        assert ours == pytest.approx(theirs, abs=1e-6)
    else:
        assert (ours[0], ours[2]) == pytest.approx((found[1], found[0]), abs=1e-6)


def test_corrected_t_by_hand() -> None:
    # differences 1, 2, 3: mean 2, variance 1; (1/3 + 1/2) * 1 = 0.8333; t = 2 / 0.91287 = 2.19089 at 2 degrees
    test = fold_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], 1 / 2)
    assert test.t == pytest.approx(2.19089, abs=1e-5)
    # Student's t of 2 degrees has the closed form p = 1 - t / sqrt(2 + t^2)
    assert test.p == pytest.approx(1 - 2.19089 / np.sqrt(2 + 2.19089**2), abs=1e-5)
    low, high = test.interval(0.95)
    assert (low, high) == pytest.approx((2 - 4.30265 * 0.912871, 2 + 4.30265 * 0.912871), abs=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_the_reference_study_s_two_best_are_not_distinguishable(seed: int) -> None:
    """Means .980 and .9725, sds .023 and .018 over ten folds, however folds are paired short of moving as one."""
    first, second = folds_with(0.980, 0.023, seed), folds_with(0.9725, 0.018, seed + 100)
    assert fold_difference(first, second, PLAIN_CV).p > 0.05
    # even the uncorrected test of independent samples does not tell them apart
    assert stats.ttest_ind_from_stats(0.980, 0.023, 10, 0.9725, 0.018, 10).pvalue > 0.4


def test_overlap_of_training_sets_makes_the_test_slower_to_tell_apart() -> None:
    first, second = folds_with(0.90, 0.02, 1), folds_with(0.88, 0.02, 2)
    plain = stats.ttest_rel(first, second)
    assert fold_difference(first, second, 0.0).p == pytest.approx(plain.pvalue)
    assert fold_difference(first, second, PLAIN_CV).p > plain.pvalue


def test_folds_that_all_differ_alike_are_no_test() -> None:
    """Their variance is not 0 but unknown: a t of 0/0 or infinity says nothing."""
    assert fold_difference([0.9, 0.8], [0.9, 0.8], 1.0) is None
    assert fold_difference([0.9, 0.8], [0.7, 0.6], 1.0) is None


def test_folds_that_differ_nearly_alike_are_as_unsure_as_their_photos() -> None:
    nearly = [1 / 26, 1 / 28, 1 / 30]
    alone = fold_difference(nearly, [0.0] * 3, 1.0)
    bounded = fold_difference(nearly, [0.0] * 3, 1.0, least_se=0.02)
    assert alone is not None and bounded is not None
    assert alone.p < 0.01 < 0.05 < bounded.p
    assert bounded.interval(0.95)[0] < 0 < bounded.interval(0.95)[1]


def test_one_fold_or_a_missing_score_is_no_test() -> None:
    with pytest.raises(ValueError, match="two folds"):
        fold_difference([0.9], [0.8], 1.0)
    with pytest.raises(ValueError, match="finite"):
        fold_difference([0.9, np.nan], [0.8, 0.7], 1.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_the_sign_test_of_the_photos_that_differ(rows: list[tuple[bool, bool]]) -> None:
    first, second = (np.array(side) for side in zip(*rows, strict=True))
    only_first, only_second, p = mcnemar_exact(first, second)
    assert only_first - only_second == first.sum() - second.sum()
    n = only_first + only_second
    assert p == pytest.approx(stats.binomtest(only_first, n).pvalue if n else 1.0)


def test_holm_worked_example() -> None:
    # sorted .005 .010 .030 .040 times 4 3 2 1, never falling: .020 .030 .060 .060
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_ranks_over_data_sets_as_in_demsar() -> None:
    """Demšar 2006, table 6: AUC of four variants of C4.5 on 14 data sets; CD = 1.25 at 0.05.

    The paper ranks unrounded figures: the two that both print as 0.975 are not tied there.
    """
    table = """0.763 0.768 0.771 0.798  0.599 0.591 0.590 0.569  0.954 0.971 0.968 0.967  0.628 0.661 0.654 0.657
               0.882 0.888 0.886 0.898  0.936 0.931 0.916 0.931  0.661 0.668 0.609 0.685  0.583 0.583 0.563 0.625
               0.775 0.838 0.866 0.875  1.000 1.000 1.000 1.000  0.940 0.962 0.965 0.962  0.619 0.666 0.614 0.669
               0.972 0.981 0.97501 0.975  0.957 0.978 0.946 0.970"""
    names = ["C4.5", "m", "cf", "m+cf"]
    scores = pd.DataFrame(np.array(table.split(), float).reshape(14, 4), columns=names)
    found = compare_over_datasets(scores, 0.05)
    assert found.mean_ranks == pytest.approx(dict(zip(names, (3.143, 2.000, 2.893, 1.964), strict=True)), abs=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert found.friedman_p < 0.05
    # pairs are significant exactly where mean ranks are the critical difference apart
    for a in names:
        for b in names:
            apart = abs(found.mean_ranks[a] - found.mean_ranks[b]) > found.critical_difference
            assert (found.pairs[a][b] < 0.05) == apart, (a, b)


def test_few_data_sets_are_not_ranked() -> None:
    with pytest.raises(ValueError, match="data sets"):
        compare_over_datasets(pd.DataFrame(np.eye(4)), 0.05)
