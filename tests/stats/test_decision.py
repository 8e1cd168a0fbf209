"""Thresholds, temperatures and prediction sets of held-out photos against their promises, by simulation."""

import math

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin

from mpox.stats.decision import DecisionRule, called_positive
from mpox.stats.decision_fit import class_quantiles, fit_decision, threshold_for, threshold_interval
from mpox.stats.pooled import softmax


@pytest.mark.parametrize("n", [19, 28, 40, 100])
def test_the_next_photo_of_mpox_is_found_as_often_as_promised(n: int) -> None:
    """The exact mean of the sensitivity of uniform draws is rank / (n + 1); the old rank ceil(.95 n) falls short."""
    random = np.random.default_rng(n)
    reached = [1 - threshold_for(random.random(n), np.arange(n), 0.95)[0] for _ in range(4000)]
    assert np.mean(reached) == pytest.approx(math.ceil(0.95 * (n + 1)) / (n + 1), abs=0.004)
    assert np.mean(reached) >= 0.946


def test_too_few_photos_of_mpox_promise_less() -> None:
    chances = np.linspace(0.1, 0.9, 18)
    assert threshold_for(chances, np.arange(18), 0.95) == (0.1, 18 / 19)
    assert threshold_for(np.append(chances, 0.95), np.arange(19), 0.95) == (0.1, 0.95)
    assert threshold_for(np.linspace(0, 1, 101), np.arange(101), 0.95)[1] == 97 / 102
    assert threshold_for(chances, np.repeat(np.arange(6), 3), 0.95) == (0.1, pytest.approx(6 / 7))
    logits, targets = np.zeros((4, 2)), np.ones(4, int)
    rule = fit_decision(logits, targets, np.arange(4), 0, target_sensitivity=0.95, coverage=0.95)
    assert (rule.threshold, rule.promised_sensitivity) == (None, None)  # no photo of mpox


@pytest.mark.parametrize("sizes", [[10] * 12, [1, 1, 1, 2, 3, 9] * 10], ids=["alike", "unequal"])
def test_photos_of_new_patients_are_found_as_often_as_promised(sizes: list[int]) -> None:
    """Photos of one patient are alike: as many votes as photos promised .950 of twelve patients and found .927."""
    random = np.random.default_rng(len(sizes))
    codes = np.repeat(np.arange(len(sizes)), sizes)
    found, promised = [], []
    for _ in range(600):
        chances = random.normal(size=len(sizes))[codes] + random.normal(size=len(codes)) / 3
        threshold, promise = threshold_for(chances, codes, 0.95)
        new = random.normal(size=500) + random.normal(size=500) / 3
        found.append((new >= threshold).mean())
        promised.append(promise)
    assert min(0.95, len(sizes) / (len(sizes) + 1)) <= promised[0] + 1e-9
    assert np.mean(found) >= np.mean(promised) - 0.005
    assert np.mean(found) < np.mean(promised) + 0.06  # not by calling everybody ill


def test_a_photo_is_never_called_something_less_likely_than_mpox() -> None:
    probabilities = np.array([[0.93, 0.07], [0.3, 0.7], [0.4, 0.6]])
    assert list(called_positive(probabilities, 0, 0.95)) == [True, False, False]
    assert list(called_positive(probabilities, 0, 0.35)) == [True, False, True]
    assert list(called_positive(probabilities, 0, None)) == [True, False, False]


class Stated(ClassifierMixin, BaseEstimator):
    classes_ = np.arange(2)
    n_features_in_ = 2

    def fit(self, *_: object) -> "Stated":
        return self

    def predict_proba(self, given: np.ndarray) -> np.ndarray:
        return given

    def predict(self, given: np.ndarray) -> np.ndarray:
        return given.argmax(1)


def test_quantiles_of_single_photos_are_those_of_split_conformal_prediction() -> None:
    random = np.random.default_rng(0)
    probabilities = softmax(random.normal(size=(200, 2)))
    targets = random.integers(0, 2, 200)
    found = class_quantiles(probabilities, targets, np.arange(200), 0.9)
    for k in (0, 1):
        own = targets == k
        reference = SplitConformalClassifier(Stated(), confidence_level=0.9, conformity_score="lac")
        reference.conformalize(probabilities[own], targets[own])
        held = reference.predict_set(probabilities)[1][:, k, 0]
        assert np.array_equal(held, 1 - probabilities[:, k] <= found[k])


@pytest.mark.parametrize("sizes", [[1] * 60, [1, 1, 1, 2, 3, 9] * 10], ids=["singles", "groups"])
def test_each_class_is_covered_for_new_groups(sizes: list[int]) -> None:
    """Photos of one group share a deviation; a new group's photos are in their sets at the promised rate."""
    random = np.random.default_rng(len(sizes))
    codes = np.repeat(np.arange(len(sizes)), sizes)
    covered = []
    for _ in range(300):
        scores = (random.normal(size=len(sizes))[codes] + random.normal(size=len(codes))) / 8 + 0.5
        probabilities = np.stack([1 - scores, scores], 1)
        (limit, _) = class_quantiles(probabilities, np.zeros(len(codes), int), codes, 0.9)
        new = (random.normal(size=500) + random.normal(size=500)) / 8 + 0.5
        covered.append((new <= limit).mean())
    assert np.mean(covered) == pytest.approx(0.905, abs=0.015)


def test_a_class_with_too_few_groups_is_in_every_set() -> None:
    probabilities = np.full((30, 2), 0.5)
    targets = np.repeat([0, 1], [20, 10])
    assert class_quantiles(probabilities, targets, np.arange(30), 0.95) == (0.5, 1.0)
    assert class_quantiles(probabilities, targets, np.repeat(np.arange(15), 2), 0.95) == (1.0, 1.0)


@pytest.mark.parametrize("n", [10, 40, 80, 150])
def test_the_threshold_s_interval_holds_the_true_one(n: int) -> None:
    """A bootstrap of the smallest of few covered .39, .86, .89 and .94: what lies below all photos is never drawn."""
    truth = 2 + 1.5 * stats.norm.ppf(0.05)
    covered = 0
    for seed in range(200):
        low, high = threshold_interval(2 + 1.5 * np.random.default_rng(seed).normal(size=n), np.arange(n), 0.95, 0.95)
        covered += (low <= truth or n <= 71) and truth <= high
    assert covered / 200 > 0.92
    assert (low == 0) == (n <= 71)  # too few for a lower bound


def test_the_threshold_s_interval_counts_groups() -> None:
    chances, codes = np.random.default_rng(0).random(400), np.repeat(np.arange(40), 10)
    assert threshold_interval(chances, codes, 0.95, 0.95)[0] == 0
    once = threshold_interval(chances[::10], np.arange(40), 0.9, 0.95)
    copied = threshold_interval(np.repeat(chances[::10], 10), codes, 0.9, 0.95)
    assert once[0] > 0 and once == copied


def test_a_decision_of_pooled_photos() -> None:
    random = np.random.default_rng(3)
    targets = random.integers(0, 3, 600)
    logits = 2.5 * (random.normal(size=(600, 3)) + 2 * np.eye(3)[targets])
    decision = fit_decision(
        logits, targets, [f"g{k // 2}" for k in range(600)], 1, target_sensitivity=0.9, coverage=0.9
    )
    assert isinstance(decision, DecisionRule)
    probabilities = decision.probabilities(logits)
    sick = targets == 1
    assert decision.threshold_low < decision.threshold < decision.threshold_high
    assert 0.9 <= (probabilities[sick, 1] >= decision.threshold).mean() < 0.92
    sets = decision.sets(probabilities)
    assert all(0.89 <= sets[targets == k, k].mean() <= 0.93 for k in range(3))
    without = fit_decision(logits, targets, np.arange(600), None, target_sensitivity=0.9, coverage=0.9)
    assert (without.threshold, without.threshold_low) == (None, None)
