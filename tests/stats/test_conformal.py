"""Prediction sets described, and referral, by counting; how sets are made is in test_decision.py."""

import numpy as np
import pytest

from mpox.stats.conformal import REFERRED, describe_sets, referral_curve
from mpox.stats.pooled import softmax


def photos(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.integers(0, 4, n)
    return softmax(1.2 * random.normal(size=(n, 4)) + 2 * np.eye(4)[targets]), targets


def test_sets_described_by_counting() -> None:
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 1]], bool)
    described = describe_sets(sets, np.array([0, 1, 0, 1]), np.arange(4), "abc", target=0.9, confidence=0.95)
    assert described.coverage.value == 0.75
    assert described.mean_size == pytest.approx(7 / 4)
    assert described.sizes == (0.0, 0.5, 0.25, 0.25)
    assert [(c.label, c.coverage.value, c.mean_size) for c in described.per_class] == [("a", 0.5, 1.0), ("b", 1.0, 2.5)]


def test_referral_by_counting() -> None:
    probabilities, targets = photos(97, 5)
    curve = referral_curve(probabilities, targets, positive=2)
    answers, sure = probabilities.argmax(1), probabilities.max(1)
    for share, accuracy, sensitivity in zip(REFERRED, curve.accuracy, curve.sensitivity, strict=True):
        kept = sorted(range(97), key=lambda i: -sure[i])[: 97 - round(share * 97)]
        assert accuracy == pytest.approx(np.mean([answers[i] == targets[i] for i in kept]))
        members = [i for i in kept if targets[i] == 2]
        assert sensitivity == pytest.approx(np.mean([answers[i] == 2 for i in members]))
    assert curve.accuracy[-1] > curve.accuracy[0]
    assert referral_curve(probabilities, targets, None).sensitivity[0] is None
