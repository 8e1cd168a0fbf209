import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mpox.model.probe import fit_head


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
