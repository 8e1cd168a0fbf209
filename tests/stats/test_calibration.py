"""Calibration against simulations whose truth is known, and against plain loops."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from mpox.stats.calibration import (
    COLDEST,
    adaptive_calibration_error,
    calibration,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)
from mpox.stats.pooled import softmax


def drawn(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax at `temperature` is the truth's distribution, and truths drawn from it."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, 4)) * 3
    odds = softmax(logits, temperature).cumsum(1)
    return logits, (random.random((n, 1)) > odds).sum(1).clip(0, 3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_is_found_again(temperature: float) -> None:
    logits, targets = drawn(20_000, temperature)
    assert fit_temperature(logits, targets) == pytest.approx(temperature, rel=0.05)


def test_temperature_is_the_best_of_a_fine_grid() -> None:
    logits, targets = drawn(80, 1.7, seed=4)
    grid = np.geomspace(0.8, 4, 300)
    best = grid[np.argmin([log_loss(targets, softmax(logits, t), labels=range(4)) for t in grid])]
    assert fit_temperature(logits, targets) == pytest.approx(best, rel=6e-3)


def test_a_validation_fold_without_a_mistake_does_not_ask_for_zero() -> None:
    targets = np.arange(40) % 4
    assert fit_temperature(3 * np.eye(4)[targets], targets) == pytest.approx(1, abs=0.01)
    wrong = np.r_[targets[:-1], (targets[-1] + 1) % 4]
    assert COLDEST < fit_temperature(3 * np.eye(4)[targets], wrong) < 1.5


def test_error_of_two_bins_by_hand() -> None:
    # lower half states .5, .6 and is right once of two; upper .8, 1.0 and right twice: .5*.05 + .5*.1
    stated, hit = np.array([1.0, 0.5, 0.8, 0.6]), np.array([True, False, True, True])
    assert adaptive_calibration_error(stated, hit, bins=2) == pytest.approx(0.5 * 0.05 + 0.5 * 0.1)


def test_true_probabilities_have_little_error_and_bins_of_equal_count() -> None:
    logits, targets = drawn(20_000, 1.0)
    probabilities = softmax(logits)
    hit = probabilities.argmax(1) == targets
    assert adaptive_calibration_error(probabilities.max(1), hit) < 0.015
    assert adaptive_calibration_error(softmax(logits, 0.4).max(1), hit) > 0.1
    bins = reliability(probabilities.max(1), hit, np.arange(20_000), 0.95)
    assert [part.observed.n for part in bins] == [2000] * 10
    assert sorted(part.stated for part in bins) == [part.stated for part in bins]
    inside = [part.observed.low <= part.stated <= part.observed.high for part in bins]  # type: ignore[operator]
    assert sum(inside) >= 8


def test_before_and_after_scaling() -> None:
    logits, targets = drawn(4000, 2.0)
    described = calibration(logits, softmax(logits, 2.0), targets, np.arange(4000), [2.0], 1, 0.95)
    assert described.ece_scaled < 0.03 < described.ece
    assert described.nll_scaled < described.nll == pytest.approx(log_loss(targets, softmax(logits)))
    assert described.brier_scaled < described.brier
    assert sum(part.observed.n for part in described.bins_positive) == 4000
    assert negative_log_likelihood(np.array([[0.0, 1.0]]), np.array([0])) > 100  # huge, not infinite
