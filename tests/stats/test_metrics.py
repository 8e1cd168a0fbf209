import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from mpox.stats.metrics import classification_metrics

CASES = [(2, 40, 0), (3, 200, 1), (4, 57, 2), (6, 500, 3), (4, 9, 4)]


def case(n_classes: int, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    logits = rng.normal(size=(n, n_classes)) + 1.5 * np.eye(n_classes)[targets]
    return torch.tensor(logits), torch.tensor(targets), [f"c{k}" for k in range(n_classes)]


@pytest.mark.parametrize(("n_classes", "n", "seed"), CASES)
def test_against_scikit_learn(n_classes: int, n: int, seed: int) -> None:
    logits, targets, classes = case(n_classes, n, seed)
    found = classification_metrics(logits, targets, classes, positive=1)
    y, p = targets.numpy(), logits.softmax(1).numpy()
    guess, one_hot = p.argmax(1), np.eye(n_classes)[y]
    labels = list(range(n_classes))
    expected = {
        "n": n,
        "accuracy": sk.accuracy_score(y, guess),
        "balanced_accuracy": sk.balanced_accuracy_score(y, guess),
        "f1_macro": sk.f1_score(y, guess, average="macro"),
        "mcc": sk.matthews_corrcoef(y, guess),
        "auroc": np.mean([sk.roc_auc_score(one_hot[:, k], p[:, k]) for k in labels]),
        "average_precision": np.mean([sk.average_precision_score(one_hot[:, k], p[:, k]) for k in labels]),
        "nll": sk.log_loss(y, p, labels=labels),
        "brier": np.mean(((p - one_hot) ** 2).sum(1)),
        "sensitivity": sk.recall_score(y == 1, guess == 1),
        "specificity": sk.recall_score(y != 1, guess != 1),
        "auroc_mpox": sk.roc_auc_score(y == 1, p[:, 1]),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name
    for k in labels:
        assert found[f"recall/c{k}"] == pytest.approx(sk.recall_score(y == k, guess == k))
        assert found[f"specificity/c{k}"] == pytest.approx(sk.recall_score(y != k, guess != k))
        if (guess == k).any():
            assert found[f"precision/c{k}"] == pytest.approx(sk.precision_score(y == k, guess == k))


def test_calibration_error_by_hand() -> None:
    # Confidences .8 (right), .8 (wrong), .6 (right): two bins hold 2 and 1 photos.
    p = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6]], dtype=torch.float64)
    found = classification_metrics(p.log(), torch.tensor([0, 1, 1]), ["a", "b"], None)
    assert found["ece"] == pytest.approx(2 / 3 * abs(0.5 - 0.8) + 1 / 3 * abs(1 - 0.6))


def test_class_without_photos_is_left_out_not_zero() -> None:
    logits, targets, classes = case(3, 60, 0)
    keep = targets != 2
    found = classification_metrics(logits[keep], targets[keep], classes, positive=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of the absent class
        expected = sk.balanced_accuracy_score(targets[keep], logits[keep].argmax(1))
    assert found["recall/c2"] is None
    assert found["sensitivity"] is None
    assert found["auroc_mpox"] is None
    assert found["balanced_accuracy"] == pytest.approx(expected)


def test_without_mpox_class_there_is_no_sensitivity() -> None:
    assert "sensitivity" not in classification_metrics(*case(3, 60, 0), positive=None)


def test_bad_logits_are_refused() -> None:
    logits, targets, classes = case(3, 60, 0)
    logits[3, 1] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        classification_metrics(logits, targets, classes, None)
    with pytest.raises(ValueError, match="do not fit"):
        classification_metrics(logits[:, :2], targets, classes, None)


@pytest.mark.parametrize("kept", ["true", "answered"])
def test_correlation_with_one_class_only_is_not_defined(kept: str) -> None:
    logits, targets, classes = case(3, 60, 0)
    of_class = (targets if kept == "true" else logits.argmax(1)) == 1
    found = classification_metrics(logits[of_class], targets[of_class], classes, positive=1)
    assert found["mcc"] is None and found["accuracy"] is not None
