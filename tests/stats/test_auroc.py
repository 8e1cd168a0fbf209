"""AUROC's interval: DeLong's variance, the jackknife over groups, and coverage measured by simulation."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from mpox.stats.auroc import auroc_interval
from mpox.stats.intervals import Interval


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def error(found: Interval, freedom: float) -> float:
    """The standard error of the figure that an interval was made of."""
    assert found.value is not None and found.low is not None and found.high is not None
    half = (logit(found.high) - logit(found.low)) / 2
    return half * found.value * (1 - found.value) / float(stats.t.ppf(0.975, freedom))


def drawn(groups: tuple[int, int], photos: int, lead: float, spread: float, seed: int) -> tuple[np.ndarray, ...]:
    """Scores (N, 2) of two classes' photos that groups have in common, targets, and groups."""
    random = np.random.default_rng(seed)
    targets, codes = np.repeat([0, 1], np.multiply(groups, photos)), np.repeat(np.arange(sum(groups)), photos)
    score = np.where(targets == 0, lead, 0) + random.normal(0, spread, sum(groups))[codes]
    score = score + random.normal(size=len(codes))
    return np.stack([score, -score], 1), targets, codes


def test_of_single_photos_it_is_delongs() -> None:
    scores, targets, codes = drawn((12, 30), 1, 1.0, 0.0, 0)
    scores = scores.round(1)  # with ties
    inside, outside = scores[targets == 0, 0], scores[targets == 1, 0]
    above = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)
    parts = above.mean(1).var(ddof=1) / 12, above.mean(0).var(ddof=1) / 30
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 11 + parts[1] ** 2 / 29)
    found = auroc_interval(above.mean(), scores[None], targets, (0,), codes, 0.95)
    assert error(found, freedom) == pytest.approx(np.sqrt(sum(parts)))
    assert above.mean() == pytest.approx(roc_auc_score(targets == 0, scores[:, 0]))


def test_of_groups_it_is_near_the_jackknife_over_groups() -> None:
    """Two networks, the mean over three classes; groups have photos of several classes."""
    random = np.random.default_rng(3)
    codes, targets = np.repeat(np.arange(60), 4), random.integers(0, 3, 240)
    shift = random.normal(0, 1, (60, 3))[codes]
    scores = np.stack([1.2 * np.eye(3)[targets] + shift + random.normal(size=(240, 3)) for _ in range(2)])

    def mean(kept: np.ndarray) -> float:
        each = [roc_auc_score(targets[kept] == k, one[kept, k]) for one in scores for k in range(3)]
        return float(np.mean(each))

    without = np.array([mean(codes != k) for k in range(60)])
    jackknife = np.sqrt(59 / 60 * np.square(without - without.mean()).sum())
    found = auroc_interval(mean(codes >= 0), scores, targets, range(3), codes, 0.95)
    assert error(found, 150) == pytest.approx(jackknife, rel=0.08)


@pytest.mark.parametrize("groups", [(5, 5), (6, 100), (10, 10), (15, 60)])
def test_few_groups_are_allowed_for(groups: tuple[int, int]) -> None:
    """The percentile bootstrap covered .87, .85, .85 and .89 of like studies."""
    truth, covered = stats.norm.cdf(2.5 / np.sqrt(2 * (1 + 0.8**2))), []
    for seed in range(150):
        scores, targets, codes = drawn(groups, 4, 2.5, 0.8, seed)
        value = roc_auc_score(targets == 0, scores[:, 0])
        found = auroc_interval(value, scores[None], targets, (0,), codes, 0.95)
        if found.low is not None and found.high is not None:
            covered.append(found.low <= truth <= found.high)
    assert len(covered) > 135 and np.mean(covered) > 0.9


def test_what_tells_nothing_of_the_spread_has_no_bounds() -> None:
    scores, targets, codes = drawn((3, 5), 4, 50.0, 0.0, 0)
    perfect = auroc_interval(1.0, scores[None], targets, (0,), codes, 0.95)
    assert (perfect.value, perfect.low, perfect.high) == (1.0, None, None)
    scores, targets, codes = drawn((1, 9), 4, 1.0, 0.5, 0)
    one_patient = auroc_interval(0.7, scores[None], targets, (0,), codes, 0.95)
    assert (one_patient.value, one_patient.low) == (0.7, None)
    absent = auroc_interval(float("nan"), scores[None], np.ones(40, int), (0,), codes, 0.95)
    assert (absent.value, absent.low) == (None, None)
