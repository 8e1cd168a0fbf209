"""Weighted metrics against the same photos really repeated, and against scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score

from mpox.stats.metrics import METRICS, classification_metrics, weighted_metrics
from mpox.stats.pooled import softmax, weighted_confusion


def reference(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray, positive: int | None) -> dict[str, float]:
    repeated = np.repeat(np.arange(len(targets)), weights.astype(int))
    names = [str(k) for k in range(logits.shape[1])]
    return classification_metrics(torch.tensor(logits[repeated]), torch.tensor(targets[repeated]), names, positive)


def rankings(probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> dict[str, float | None]:
    """Scikit-learn's AUROC and average precision of classes that are there and not alone, and their means."""
    found = {}
    for k in range(probabilities.shape[1]):
        members, scores = targets == k, probabilities[:, k]
        if weights[members].sum() > 0 and weights[~members].sum() > 0:
            found[k] = (
                roc_auc_score(members, scores, sample_weight=weights),
                average_precision_score(members, scores, sample_weight=weights),
            )
    means = np.mean(list(found.values()), axis=0) if found else (None, None)
    return {"auroc": means[0], "average_precision": means[1], "auroc_mpox": found.get(0, (None,))[0]}


@pytest.mark.filterwarnings("ignore:A single label")
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 60), n_classes=st.integers(2, 5), coarse=st.booleans())
def test_weights_mean_repetition(seed: int, n: int, n_classes: int, coarse: bool) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, n_classes)) * 2
    if coarse:  # many ties
        logits = logits.round()
    targets = random.integers(0, n_classes, n)
    weights = random.integers(0, 4, (3, n)).astype("float32")
    weights[:, 0] = 1  # never empty
    figures = weighted_metrics(logits, targets, weights, positive=0)
    for row in range(3):
        expected = reference(logits, targets, weights[row], 0)
        if expected["mcc"] is not None:
            repeated = np.repeat(np.arange(n), weights[row].astype(int))
            assert expected["mcc"] == pytest.approx(matthews_corrcoef(targets[repeated], logits[repeated].argmax(1)))
        if coarse:  # what is tied is up to the last bit of each library's softmax: rank the same numbers
            expected |= rankings(softmax(logits), targets, weights[row])
        for metric in METRICS:
            value = float(figures[metric][row])
            if expected[metric] is None:
                assert np.isnan(value), metric
            elif metric != "ece" or not coarse:  # ties on the edge of a bin fall either way in float32
                assert value == pytest.approx(expected[metric], abs=2e-6), metric


def test_metrics_of_mpox_need_an_mpox_class() -> None:
    figures = weighted_metrics(np.eye(3), np.arange(3), np.ones((1, 3), "float32"), None)
    assert "sensitivity" not in figures
    assert figures["balanced_accuracy"] == 1


def test_large_sets_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    logits, targets = random.normal(size=(50, 3)), random.integers(0, 3, 50)
    weights = random.integers(0, 3, (5, 50)).astype("float32")
    whole = weighted_metrics(logits, targets, weights, 1)
    monkeypatch.setattr("mpox.stats.pooled.BLOCK_BYTES", 800)
    for metric, values in weighted_metrics(logits, targets, weights, 1).items():
        np.testing.assert_allclose(values, whole[metric], atol=1e-6, err_msg=metric)


def test_confusion_counts_true_by_answered() -> None:
    counts = weighted_confusion(np.array([1, 1, 0]), np.array([0, 1, 0]), np.array([[1, 2, 3]], "float32"), 2)
    assert counts.tolist() == [[[3, 1], [0, 2]]]


def test_softmax_of_huge_logits_is_finite() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0]])), [[1, 0]])
    np.testing.assert_allclose(softmax(np.array([[2.0, 0.0]]), 2.0), softmax(np.array([[1.0, 0.0]])))
