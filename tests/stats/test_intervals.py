"""Intervals: published examples, an independent bootstrap, and coverage measured by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mpox.stats.intervals import (
    Interval,
    difference,
    effective_size,
    group_codes,
    mean_proportion,
    percentile_interval,
    proportion,
    ratio,
    resampling_weights,
)
from mpox.stats.metrics import METRICS
from mpox.stats.pooled import balanced_accuracy, weighted_confusion
from mpox.xai.verdicts import Judge, Sample


# Newcombe, Statistics in Medicine 1998, table I, method 3 (Wilson's score without continuity correction).
@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(hits: int, n: int, low: float, high: float) -> None:
    interval = proportion(np.arange(n) < hits, np.arange(n), 0.95)
    assert (interval.value, interval.n) == (pytest.approx(hits / n), n)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


def test_a_share_of_nothing_is_undefined_and_a_full_one_ends_at_one() -> None:
    empty = proportion(np.zeros(0, bool), np.zeros(0, int), 0.95)
    assert (empty.value, empty.low, empty.high, empty.n) == (None, None, None, 0)
    full = proportion(np.ones(20, bool), np.arange(20), 0.95)
    assert full.high == 1.0
    assert full.low == pytest.approx(1 - 0.1611, abs=5e-5)


def test_photos_of_one_group_are_one_observation() -> None:
    hits, one = np.array([True] * 19 + [False]), np.zeros(20, int)
    assert effective_size(hits, one, 0.95) == 1
    interval = proportion(hits, one, 0.95)
    assert interval.low is not None and interval.low < 0.4


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=40), st.integers(2, 4))
def test_copies_of_photos_tell_nothing_new(hits: list[bool], copies: int) -> None:
    once = np.array(hits)
    alone = proportion(once, np.arange(len(once)), 0.95)
    copied = proportion(np.repeat(once, copies), np.repeat(np.arange(len(once)), copies), 0.95)
    assert effective_size(once, np.arange(len(once)), 0.95) == pytest.approx(len(once))
    assert (copied.low, copied.high) == (pytest.approx(alone.low), pytest.approx(alone.high))


def test_resamples_draw_whole_groups() -> None:
    codes = group_codes(["b", "a", "b", "c"])
    assert codes.tolist() == [1, 0, 1, 2]
    weights = resampling_weights(codes, 500, seed=0)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all()
    assert weights[:, 0].mean() == pytest.approx(1, abs=0.15)
    np.testing.assert_array_equal(weights, resampling_weights(codes, 500, seed=0))


def test_bootstrap_agrees_with_one_that_draws_photos_in_a_loop() -> None:
    random = np.random.default_rng(3)
    codes = np.repeat(np.arange(60), 3)
    targets = np.repeat(random.integers(0, 2, 60), 3)
    answers = np.where(random.random(180) < 0.8, targets, 1 - targets)
    draws = balanced_accuracy(weighted_confusion(answers, targets, resampling_weights(codes, 4000, 0), 2))
    looped = []
    for _ in range(4000):
        rows = np.concatenate([np.flatnonzero(codes == g) for g in random.integers(0, 60, 60)])
        looped.append(np.mean([(answers[rows] == k)[targets[rows] == k].mean() for k in (0, 1)]))
    np.testing.assert_allclose(np.quantile(draws, [0.025, 0.975]), np.quantile(looped, [0.025, 0.975]), atol=0.006)


@pytest.mark.parametrize(
    "sizes", [(40, 20, 10, 5, 3, 2, 1, 1, 1, 1), (40, *[1] * 12), (60, *[1] * 40)], ids=["clinic", "one large", "100"]
)
def test_one_large_group_among_small_ones_is_allowed_for(sizes: tuple[int, ...]) -> None:
    """Student's t of G-1 degrees of freedom covered .83, .77 and .87 here: one group tells little of its variance."""
    codes, random, covered = np.repeat(np.arange(len(sizes)), sizes), np.random.default_rng(1), 0
    for _ in range(300):
        rate = random.beta(0.7, 0.3, len(sizes))[codes]  # .7 with a correlation of .5 within groups
        interval = proportion(random.random(len(codes)) < rate, codes, 0.95)
        covered += interval.low <= 0.7 <= interval.high  # type: ignore[operator]
    assert covered / 300 > 0.93


def test_the_degrees_of_freedom_are_those_of_the_matrix() -> None:
    """Bell & McCaffrey's (tr Q)^2 / tr Q^2 by matrices; of equal groups G-1."""
    sizes = np.array([9, 4, 4, 2, 1])
    codes, n = np.repeat(np.arange(5), sizes), sizes.sum()
    hits = np.arange(n) % 3 > 0
    residual = np.eye(n) - 1 / n
    rows = np.stack([residual[codes == k].sum(0) / np.sqrt(1 - sizes[k] / n) for k in range(5)])
    product = rows @ rows.T
    freedom = np.trace(product) ** 2 / np.square(product).sum()
    share, sums = hits.mean(), np.bincount(codes, hits - hits.mean())
    variance = (np.square(sums) / (1 - sizes / n)).sum() / n**2
    size = min(n, share * (1 - share) / variance + 1)
    shrunk = size * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, freedom)) ** 2
    assert effective_size(hits, codes, 0.95) == pytest.approx(max(n**2 / np.square(sizes).sum(), shrunk))


def test_a_difference_is_newcombes() -> None:
    """Newcombe, Statistics in Medicine 1998 (on differences), table II, method 10, contrasts (a) and (d)."""
    for (a, m, b, n), low, high in (((56, 70, 48, 80), 0.0524, 0.3339), ((9, 10, 3, 10), 0.1705, 0.8090)):
        shares = [proportion(np.arange(of) < k, np.arange(of), 0.95) for k, of in ((a, m), (b, n))]
        found = difference(*shares)
        assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert difference(Interval(1.0, None, None, 5), shares[0]).low is None


def test_twelve_of_twelve_is_the_same_in_the_comparison_and_in_the_audit() -> None:
    targets = np.repeat([0, 1], 6)
    groups = np.array([f"patient {k}" for k in range(12)])
    sample = Sample(np.arange(12), targets, groups, np.zeros((12, 4, 4), bool))
    audited = Judge(sample, targets).of("lesion hidden", targets, masked=True)
    codes, alike = group_codes(groups), np.ones(100)
    compared = METRICS["balanced_accuracy"].interval(1.0, alike, np.eye(2)[targets][None], targets, codes, None, 0.95)
    assert Interval.read(audited["balanced_accuracy"]) == compared
    assert compared.high == 1 and 0.5 < compared.low < 0.8
    kept = Interval.read(audited["retained"])
    assert kept.value == 1 and kept.low is not None and kept.low < 0.5
    assert audited["level"] == "hint"  # six photos a class do not show that half of the advantage is kept


def test_a_mean_of_shares_is_a_share_where_there_is_one_stratum_and_narrower_where_there_are_more() -> None:
    hits, codes = np.arange(40) % 5 > 0, np.arange(40) // 2
    alone = proportion(hits, codes, 0.95)
    together = mean_proportion(hits, np.zeros(40, int), codes, 0.95)
    assert (together.value, together.low, together.high) == pytest.approx((alone.value, alone.low, alone.high))
    two = mean_proportion(np.tile(hits, 2), np.repeat([0, 1], 40), np.concatenate([codes, codes + 20]), 0.95)
    assert two.high - two.low == pytest.approx((alone.high - alone.low) / np.sqrt(2), abs=1e-3)
    shared = mean_proportion(np.tile(hits, 2), np.repeat([0, 1], 40), np.tile(codes, 2), 0.95)
    assert shared.high - shared.low == pytest.approx(alone.high - alone.low)  # groups in both: nothing is gained
    assert mean_proportion(hits[:0], codes[:0], codes[:0], 0.95).value is None


def test_bounds_of_a_ratio() -> None:
    """Those of a quotient of two normal figures, as drawn; none where the divisor may be 0."""
    random = np.random.default_rng(0)
    part, whole = Interval(0.3, 0.2, 0.4, 50), Interval(0.4, 0.34, 0.46, 50)
    found = ratio(part, whole)
    drawn = random.normal(0.3, 0.1 / 1.96, 200_000) / random.normal(0.4, 0.06 / 1.96, 200_000)
    assert found.value == pytest.approx(0.75)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.02)
    assert ratio(part, Interval(0.1, -0.1, 0.3, 50)).low is None
    assert ratio(part, Interval(0.0, -0.1, 0.1, 50)).value is None


@pytest.mark.parametrize("sizes", [(10, 4, 3, 2, 1), (4,) * 5, (16, 10, 7, 5, 4, 3, 2, 1), (3,) * 15])
def test_few_groups_are_covered(sizes: tuple[int, ...]) -> None:
    """Nominal 95 % holds the truth 92 to 99 times of 100, give or take the simulation's error, for five groups too."""
    random, truth, trials = np.random.default_rng(1), 0.7, 600
    codes = np.repeat(np.arange(2 * len(sizes)), np.tile(sizes, 2))
    strata = (codes >= len(sizes)).astype(int)
    held, widths = np.zeros(2), np.zeros(2)
    for _ in range(trials):
        recall = random.beta(truth * 2, (1 - truth) * 2, 2 * len(sizes))[codes]
        hits = random.random(len(codes)) < recall
        one = proportion(hits[strata == 0], codes[strata == 0], 0.95)
        both = mean_proportion(hits, strata, codes, 0.95)
        held += [interval.low <= truth <= interval.high for interval in (one, both)]
        widths += [interval.high - interval.low for interval in (one, both)]
    assert (held / trials > 0.92 - 0.02).all() and (held / trials < 0.99 + 0.01).all(), held / trials
    assert (widths / trials < 0.75).all()


def test_an_interval_of_no_width_is_no_interval() -> None:
    perfect = percentile_interval(1.0, np.ones(100), 50, 0.95)
    assert (perfect.value, perfect.low, perfect.high) == (1.0, None, None)
    absent = percentile_interval(float("nan"), np.full(100, np.nan), 50, 0.95)
    assert (absent.value, absent.low) == (None, None)


def simulated(random: np.random.Generator, n_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers, targets and groups of subjects with 1 to 6 photos, whose photos share how easy they are (0.8 right)."""
    sizes = random.integers(1, 7, n_groups)
    codes = np.repeat(np.arange(n_groups), sizes)
    targets = np.repeat(random.integers(0, 3, n_groups), sizes)
    easy = np.repeat(random.beta(4, 1, n_groups), sizes)
    right = random.random(len(codes)) < easy
    return np.where(right, targets, (targets + 1) % 3), targets, codes


@pytest.mark.slow
def test_coverage_of_nominal_95_percent_on_clustered_photos() -> None:
    random = np.random.default_rng(0)
    # the expected share right is not weighted by how many photos a subject has: sizes and ease are independent
    truth, trials = 0.8, 1000
    group_wise = alone = wilson = 0
    for trial in range(trials):
        answers, targets, codes = simulated(random, 120)
        for name, grouping in (("group", codes), ("alone", np.arange(len(codes)))):
            weights = resampling_weights(grouping, 600, trial)
            draws = balanced_accuracy(weighted_confusion(answers, targets, weights, 3))
            interval = percentile_interval(0.8, draws, len(codes), 0.95)
            covered = interval.low <= truth <= interval.high
            group_wise += covered and name == "group"
            alone += covered and name == "alone"
        share = proportion(answers == targets, codes, 0.95)
        wilson += share.low <= truth <= share.high
    print(f"coverage of {trials}: groups {group_wise}, photos taken for independent {alone}, Wilson {wilson}")
    assert 0.92 <= group_wise / trials <= 0.97
    assert 0.92 <= wilson / trials <= 0.97
    assert alone / trials < 0.92
