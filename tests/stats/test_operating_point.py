"""Thresholds, predictive values and net benefit: worked by hand, and as published."""

import numpy as np
import pytest

from mpox.stats.operating_point import decision_curve, operating_point, predictive_values


def test_predictive_values_as_published() -> None:
    """Altman & Bland, BMJ 1994;309:102: liver scans, 231 of 258 sick and 54 of 86 well found, prevalence 75 %."""
    sensitivity, specificity = np.array(231 / 258), np.array(54 / 86)
    ppv, npv = predictive_values(sensitivity, specificity, 258 / 344)
    assert (ppv, npv) == (pytest.approx(231 / 263), pytest.approx(54 / 81))
    ppv, npv = predictive_values(sensitivity, specificity, 0.25)  # the paper's other prevalence
    assert (ppv, npv) == (pytest.approx(0.45, abs=0.005), pytest.approx(0.95, abs=0.005))


def judged(thresholds: list[float | None]) -> object:
    probability = np.array([0.45, 0.2, 0.4, 0.1, 0.44, 0.35])  # of mpox: never the largest
    targets = np.array([0, 0, 1, 1, 0, 1])
    return operating_point(
        *(np.stack([probability, 1 - probability], 1), targets, 0),
        *(np.arange(6), np.array([0, 0, 0, 1, 1, 1]), thresholds),
        target_sensitivity=0.95,
        prevalences=(0.5, 0.01),
        confidence=0.95,
        seed=0,
    )


def test_each_fold_has_its_own_threshold() -> None:
    point = judged([0.3, 0.3])
    counts = (point.true_positive, point.false_negative, point.false_positive, point.true_negative)
    assert counts == (2, 1, 2, 1)
    assert point.sensitivity.value == pytest.approx(2 / 3)
    assert point.specificity.value == pytest.approx(1 / 3)
    half, rare = point.predictive_values
    assert half.ppv.value == pytest.approx(0.5)
    assert rare.npv.low < rare.npv.value < rare.npv.high
    assert rare.ppv.value == pytest.approx(0.01 * (2 / 3) / (0.01 * (2 / 3) + 0.99 * (2 / 3)))


def test_the_largest_probability_is_called_whatever_the_threshold() -> None:
    probabilities = np.array([[0.93, 0.07], [0.40, 0.60], [0.96, 0.04]])
    point = operating_point(
        *(probabilities, np.array([0, 1, 0]), 0, np.arange(3), np.zeros(3, int), [0.95]),
        target_sensitivity=0.95, prevalences=(), confidence=0.95, seed=0,
    )  # fmt: skip
    assert (point.true_positive, point.false_negative, point.false_positive) == (2, 0, 0)


def test_a_predictive_value_lies_within_its_interval() -> None:
    """Nobody of 60 well is called mpox: PPV is 1, beyond what every draw of a posterior gives."""
    sick, well = np.arange(60) < 50, np.arange(60) < 0
    chance = np.where(np.concatenate([sick, well]), 0.9, 0.1)
    found = operating_point(
        *(np.stack([chance, 1 - chance], 1), np.repeat([0, 1], 60), 0, np.arange(120), np.zeros(120, int), [0.5]),
        target_sensitivity=0.95, prevalences=(0.01,), confidence=0.95, seed=0,
    ).predictive_values[0]  # fmt: skip
    assert found.ppv.value == found.ppv.high == 1.0 and found.ppv.low < 0.5
    assert found.npv.low < found.npv.value < found.npv.high < 1


def test_a_fold_without_a_threshold_is_left_out() -> None:
    point = judged([None, 0.3])
    assert (point.true_positive, point.false_positive, point.true_negative, point.false_negative) == (1, 1, 1, 0)
    assert point.sensitivity.n == 1
    nothing = judged([None, None])
    assert nothing.sensitivity.value is None
    assert nothing.predictive_values[0].ppv.value is None


def test_interval_of_ppv_covers_as_it_says() -> None:
    random = np.random.default_rng(0)
    truth = 0.9 * 0.2 / (0.9 * 0.2 + 0.15 * 0.8)
    covered = 0
    for trial in range(200):
        positive = np.arange(200) < 80
        called = np.where(positive, random.random(200) < 0.9, random.random(200) < 0.15).astype(float)
        point = operating_point(
            *(np.stack([called, 1 - called], 1), np.where(positive, 0, 1), 0),
            *(np.arange(200), np.zeros(200, int), [0.5]),
            target_sensitivity=0.95,
            prevalences=(0.2,),
            confidence=0.95,
            seed=trial,
        )
        ppv = point.predictive_values[0].ppv
        covered += ppv.low <= truth <= ppv.high
    assert 0.90 <= covered / 200 <= 0.99


def test_net_benefit_by_counting() -> None:
    random = np.random.default_rng(1)
    probability, positive = random.random(50), random.random(50) < 0.3
    curve = decision_curve(probability, positive)
    for threshold, model, everyone in zip(curve.thresholds, curve.model, curve.refer_all, strict=True):
        harm = threshold / (1 - threshold)
        true = sum(1 for p, sick in zip(probability, positive, strict=True) if sick and p >= threshold)
        false = sum(1 for p, sick in zip(probability, positive, strict=True) if not sick and p >= threshold)
        assert model == pytest.approx(true / 50 - false / 50 * harm)
        assert everyone == pytest.approx(positive.sum() / 50 - (~positive).sum() / 50 * harm)
    # at the odds of the prevalence, referring everyone is worth nothing
    assert curve.prevalence == positive.mean()
