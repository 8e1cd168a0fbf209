"""Prediction sets against the formula, their coverage by simulation, and referral by counting."""

import numpy as np
import pytest

from mpox.stats.conformal import REFERRED, describe_sets, prediction_sets, referral_curve
from mpox.stats.pooled import softmax


def photos(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.integers(0, 4, n)
    return softmax(1.2 * random.normal(size=(n, 4)) + 2 * np.eye(4)[targets]), targets


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95])
def test_sets_follow_the_split_conformal_formula(target: float) -> None:
    (val, truth), (test, _) = photos(77, 0), photos(300, 1)
    scores = np.sort(1 - val[np.arange(77), truth])
    limit = scores[int(np.ceil(78 * target)) - 1]
    sets = prediction_sets(val, truth, test, target)
    unsure = np.abs(1 - test - limit) < 1e-6
    np.testing.assert_array_equal(sets[~unsure], ((1 - test) <= limit)[~unsure])


def test_coverage_is_what_was_promised() -> None:
    held = []
    for seed in range(150):
        (val, truth), (test, test_truth) = photos(77, 2 * seed), photos(60, 2 * seed + 1)
        held.append(prediction_sets(val, truth, test, 0.9)[np.arange(60), test_truth].mean())
    assert 0.88 <= np.mean(held) <= 0.93


def test_too_few_photos_to_promise_anything_give_all_classes() -> None:
    val, truth = photos(12, 0)
    assert prediction_sets(val, truth, photos(5, 1)[0], 0.95).all()
    assert not prediction_sets(*photos(40, 0), photos(50, 1)[0], 0.95).all()


def test_a_validation_fold_that_lacks_a_class_still_calibrates() -> None:
    val, truth = photos(80, 3)
    kept = truth != 2
    assert prediction_sets(val[kept], truth[kept], photos(20, 4)[0], 0.9).shape == (20, 4)


def test_sets_described_by_counting() -> None:
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 1]], bool)
    told = describe_sets(sets, np.array([0, 1, 0, 1]), np.arange(4), "abc", target=0.9, confidence=0.95)
    assert told.coverage.value == 0.75
    assert told.mean_size == pytest.approx(7 / 4)
    assert told.sizes == (0.0, 0.5, 0.25, 0.25)
    assert [(c.label, c.coverage.value, c.mean_size) for c in told.per_class] == [("a", 0.5, 1.0), ("b", 1.0, 2.5)]


def test_referral_by_counting() -> None:
    probabilities, targets = photos(97, 5)
    curve = referral_curve(probabilities, targets, positive=2)
    answers, sure = probabilities.argmax(1), probabilities.max(1)
    for share, accuracy, sensitivity in zip(REFERRED, curve.accuracy, curve.sensitivity, strict=True):
        kept = sorted(range(97), key=lambda i: -sure[i])[: 97 - round(share * 97)]
        assert accuracy == pytest.approx(np.mean([answers[i] == targets[i] for i in kept]))
        mine = [i for i in kept if targets[i] == 2]
        assert sensitivity == pytest.approx(np.mean([answers[i] == 2 for i in mine]))
    assert curve.accuracy[-1] > curve.accuracy[0]
    assert referral_curve(probabilities, targets, None).sensitivity[0] is None
