from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mpox.data.module import as_they_are
from mpox.model.backbone import build, input_record
from mpox.model.probe import cached_features, fit_head, frozen_features


def data(seed: int, n: int = 120, n_features: int = 20, n_classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, n_classes, n)
    centres = np.random.default_rng(99).normal(size=(n_classes, n_features))
    features = 3 * centres[targets] + rng.normal(size=(n, n_features)) * 4 + 7
    return torch.tensor(features, dtype=torch.float32), torch.tensor(targets)


@pytest.mark.parametrize("l2", [0.001, 0.1, 3.0])
def test_against_scikit_learn(l2: float) -> None:
    (features, targets), val = data(0), data(1)
    head = fit_head((features, targets), val, 3, [l2])
    mean = features.mean(0)
    sd = (features - mean).square().mean().sqrt()
    reference = LogisticRegression(C=1 / (l2 * len(targets)), max_iter=5000, tol=1e-10)
    reference.fit(((features - mean) / sd).numpy(), targets.numpy())
    expected = reference.predict_proba(((val[0] - mean) / sd).numpy())
    found = (val[0] @ head.weight.T + head.bias).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_class_weights_against_scikit_learn() -> None:
    (features, targets), val = data(0), data(1)
    weights = torch.tensor([1.0, 5.0, 0.5])
    head = fit_head((features, targets), val, 3, [0.1], weights)
    mean = features.mean(0)
    sd = (features - mean).square().mean().sqrt()
    # The mean of the weighted loss divides by the sum of weights.
    total = float(weights[targets].sum())
    reference = LogisticRegression(C=1 / (0.1 * total), max_iter=5000, tol=1e-10)
    reference.fit(((features - mean) / sd).numpy(), targets.numpy(), sample_weight=weights[targets].numpy())
    found = (val[0] @ head.weight.T + head.bias).softmax(1).numpy()
    np.testing.assert_allclose(found, reference.predict_proba(((val[0] - mean) / sd).numpy()), atol=2e-3)


def test_validation_chooses_the_penalty() -> None:
    train, val = data(0), data(1)
    penalties = [0.0001, 0.01, 1.0, 100.0]
    single = {l2: fit_head(train, val, 3, [l2]).val_nll for l2 in penalties}
    chosen = fit_head(train, val, 3, penalties)
    assert chosen.l2 == min(single, key=lambda l2: single[l2])
    assert chosen.val_nll == pytest.approx(min(single.values()), abs=1e-3)


def test_constant_features_do_no_harm() -> None:
    features, targets = data(0)
    features[:, 3] = 5.0
    head = fit_head((features, targets), data(1), 3, [0.1])
    assert torch.isfinite(head.weight).all() and torch.isfinite(head.bias).all()


def test_cached_features_and_one_problem_a_fold_are_the_slow_way(tmp_path: Path) -> None:
    """One pass for all folds, then a head a fold: as if each fold had run the backbone over its own photos."""
    record = input_record("mobilenetv3_small_100.lamb_in1k", 32)
    network = build("mobilenetv3_small_100.lamb_in1k", 3, record)
    rng = np.random.default_rng(0)
    pixels, targets = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8), torch.tensor(rng.integers(0, 3, 40))
    cpu = torch.device("cpu")
    shared = cached_features(network, as_they_are(pixels), "key", 7, cpu, tmp_path)
    assert torch.equal(shared, cached_features(network, as_they_are(pixels), "key", 7, cpu, tmp_path))
    for fold in range(2):
        held = np.arange(40) % 4 == fold
        train, val = np.flatnonzero(~held), np.flatnonzero(held)
        own = [frozen_features(network, as_they_are(pixels[rows]), 40, cpu) for rows in (train, val)]
        slow = fit_head((own[0], targets[train]), (own[1], targets[val]), 3, [0.1])
        fast = fit_head((shared[train], targets[train]), (shared[val], targets[val]), 3, [0.1])
        network.set_head(fast.weight, fast.bias)
        with torch.inference_mode():
            whole = network.eval()(torch.from_numpy(pixels[val]).permute(0, 3, 1, 2))
        torch.testing.assert_close(own[1] @ slow.weight.T + slow.bias, whole, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(network.head_logits(shared[val]), whole, atol=1e-4, rtol=1e-4)
