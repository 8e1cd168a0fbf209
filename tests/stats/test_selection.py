"""The figure of the chosen model, corrected for the choice: unbiased for equal models, unchanged for a clear leader."""

import numpy as np
import pytest

from mpox.stats.selection import corrected_for_choice


def highest_mean(scores: np.ndarray) -> int:
    return int(np.nanmean(scores, 1).argmax())


def study(shares: list[float], seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = np.arange(300) % 2
    hits = random.random((len(shares), 300)) < np.array(shares)[:, None]
    logits = [2 * np.eye(2)[np.where(hit, targets, 1 - targets)] for hit in hits]
    return logits, targets, np.arange(300), np.arange(300) // 2 % 5


def corrected(shares: list[float], seed: int) -> tuple[float, float, float]:
    """The corrected figure, the winner's own and the mean of all, less what is true."""
    logits, targets, codes, folds = study(shares, seed)
    found = corrected_for_choice(
        *(logits, targets, codes, folds, highest_mean),
        metric="balanced_accuracy", positive=0, confidence=0.95, seed=0, resamples=200,
    )  # fmt: skip
    assert found is not None and found.low is not None and found.high is not None
    own = [np.mean([(one.argmax(1) == targets)[targets == k].mean() for k in (0, 1)]) for one in logits]
    assert found.low < found.estimate < found.high
    return found.estimate, max(own), float(np.mean(own))


def test_of_equal_models_the_winner_is_shown_as_it_is() -> None:
    rows = [corrected([0.85] * 20, seed) for seed in range(12)]
    bias = np.mean([estimate - mean for estimate, _, mean in rows])
    optimism = np.mean([best - mean for _, best, mean in rows])
    assert optimism > 0.02
    assert abs(bias) < 0.008


def test_a_clear_leader_loses_nothing() -> None:
    estimate, best, _ = corrected([0.97, 0.85, 0.85, 0.85], 0)
    assert abs(estimate - best) < 0.01


@pytest.mark.parametrize("groups", [3, 5])
def test_a_class_of_few_groups_does_not_raise_the_figure(groups: int) -> None:
    """One model leaves nothing to choose; resamples without the hard class scored the others, .04 and .02 more."""
    gains = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        targets = np.concatenate([np.zeros(4 * groups, int), np.repeat([1, 2, 3], 60)])
        codes = np.concatenate([np.repeat(np.arange(groups), 4), np.arange(groups, groups + 180)])
        hits = random.random(len(targets)) < np.where(targets == 0, 0.3, 0.95)
        found = corrected_for_choice(
            *([2 * np.eye(4)[np.where(hits, targets, (targets + 1) % 4)]], targets, codes, codes % 3, highest_mean),
            metric="balanced_accuracy", positive=0, confidence=0.95, seed=0, resamples=200,
        )  # fmt: skip
        assert found is not None
        gains.append(found.estimate - np.mean([hits[targets == k].mean() for k in range(4)]))
    assert abs(np.mean(gains)) < 0.005


def test_a_class_of_one_group_leaves_too_few_resamples() -> None:
    targets, codes = np.repeat([0, 1], [5, 60]), np.concatenate([np.zeros(5, int), np.arange(1, 61)])
    logits = 2 * np.eye(2)[targets]
    found = corrected_for_choice(
        *([logits], targets, codes, np.arange(65) % 3, highest_mean),
        metric="balanced_accuracy", positive=0, confidence=0.95, seed=0, resamples=200,
    )  # fmt: skip
    assert found is None
