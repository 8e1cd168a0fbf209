"""The figure of the chosen model, corrected for the choice: unbiased for equal models, unchanged for a clear leader."""

import numpy as np

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
    assert found is not None
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
