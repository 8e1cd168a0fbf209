import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mpox.data.module import as_they_are
from mpox.model.backbone import build, input_record
from mpox.model.frozen import cached_features, frozen_features
from mpox.model.probe import LinearHead, Problem, cached_heads, fit_heads


def data(seed: int, n: int = 120, n_features: int = 20, n_classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, n_classes, n)
    centres = np.random.default_rng(99).normal(size=(n_classes, n_features))
    features = 3 * centres[targets] + rng.normal(size=(n, n_features)) * 4 + 7
    return torch.tensor(features, dtype=torch.float32), torch.tensor(targets)


Labelled = tuple[torch.Tensor, torch.Tensor]


def fit_head(
    train: Labelled, val: Labelled, penalties: list[float], weights: torch.Tensor | None = None, n_classes: int = 3
) -> LinearHead:
    """The head of a single fold."""
    training = torch.arange(len(train[1]) + len(val[1]))[None] < len(train[1])
    weights = torch.ones(n_classes) if weights is None else weights
    pairs = [torch.cat(parts) for parts in zip(train, val, strict=True)]
    (head,) = fit_heads(Problem(pairs[0], pairs[1], training, ~training, weights[None]), penalties)
    return head


def ten_folds(features: torch.Tensor, targets: torch.Tensor) -> Problem:
    fold = torch.arange(len(targets)) % 10
    test = torch.stack([fold == k for k in range(10)])
    val = test.roll(-1, 0)
    counts = torch.stack([targets[row].bincount(minlength=3) for row in ~test & ~val])
    return Problem(features, targets, ~test & ~val, val, counts.sum(1, keepdim=True) / (3 * counts))


@pytest.mark.parametrize("l2", [0.001, 0.1, 3.0])
def test_against_scikit_learn(l2: float) -> None:
    (features, targets), val = data(0), data(1)
    head = fit_head((features, targets), val, [l2])
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
    head = fit_head((features, targets), val, [0.1], weights)
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
    single = {l2: fit_head(train, val, [l2]).val_nll for l2 in penalties}
    chosen = fit_head(train, val, penalties)
    assert chosen.l2 == min(single, key=lambda l2: single[l2])
    assert chosen.val_nll == pytest.approx(min(single.values()), abs=1e-3)


def test_heads_of_all_folds_together_are_those_of_each_alone(tmp_path: Path) -> None:
    problem = ten_folds(*data(0))
    penalties = [0.001, 0.1, 10.0]
    together = cached_heads(problem, penalties, tmp_path)
    for k, head in enumerate(together):
        parts = [(problem.features[rows[k]], problem.targets[rows[k]]) for rows in (problem.train, problem.val)]
        alone = fit_head(parts[0], parts[1], penalties, problem.class_weights[k])
        assert head.l2 == alone.l2 and head.val_nll == pytest.approx(alone.val_nll, abs=1e-4)
        logits, expected = (problem.features @ one.weight.T + one.bias for one in (head, alone))
        torch.testing.assert_close(logits.softmax(1), expected.softmax(1), atol=1e-3, rtol=0)
    again = cached_heads(problem, penalties, tmp_path)
    assert all(torch.equal(one.weight, other.weight) for one, other in zip(together, again, strict=True))
    assert len(list(tmp_path.glob("heads-*.npz"))) == 1
    cached_heads(problem, [0.1], tmp_path)
    assert len(list(tmp_path.glob("heads-*.npz"))) == 2  # other penalties are another problem


def test_a_head_learns_nothing_from_the_photos_its_fold_holds_out() -> None:
    """Other folds train on those photos in the same problem."""
    problem = ten_folds(*data(0))
    changed = problem.features.clone()
    held = ~problem.train[4] & ~problem.val[4]
    changed[held] = 50 * torch.randn(int(held.sum()), changed.shape[1], generator=torch.Generator().manual_seed(0))
    before, after = (
        fit_heads(dataclasses.replace(problem, features=f), [0.01, 1.0]) for f in (problem.features, changed)
    )
    logits, expected = (problem.features @ heads[4].weight.T + heads[4].bias for heads in (after, before))
    torch.testing.assert_close(logits.softmax(1), expected.softmax(1), atol=1e-3, rtol=0)
    assert not torch.allclose(before[0].weight, after[0].weight, atol=1e-2)


def test_constant_features_do_no_harm() -> None:
    features, targets = data(0)
    features[:, 3] = 5.0
    head = fit_head((features, targets), data(1), [0.1])
    assert torch.isfinite(head.weight).all() and torch.isfinite(head.bias).all()


def test_cached_features_and_one_problem_a_fold_equal_the_slow_way(tmp_path: Path) -> None:
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
        slow = fit_head((own[0], targets[train]), (own[1], targets[val]), [0.1])
        fast = fit_head((shared[train], targets[train]), (shared[val], targets[val]), [0.1])
        network.set_head(fast.weight, fast.bias)
        with torch.inference_mode():
            whole = network.eval()(torch.from_numpy(pixels[val]).permute(0, 3, 1, 2))
        torch.testing.assert_close(own[1] @ slow.weight.T + slow.bias, whole, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(network.head_logits(shared[val]), whole, atol=1e-4, rtol=1e-4)


def test_networks_of_equal_tensors_but_other_options_share_no_features(tmp_path: Path) -> None:
    name = "mobilenetv2_100.ra_in1k"
    record = input_record(name, 32)
    network = build(name, 3, record)
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    pixels, cpu = as_they_are(noise), torch.device("cpu")
    features = cached_features(network, pixels, "key", 1, cpu, tmp_path)
    for options in ({"pad_type": "same"}, {"bn_eps": 1e-2}):
        other = build(name, 3, record, options=options)
        other.load_state_dict(network.state_dict())
        assert not torch.equal(features, cached_features(other, pixels, "key", 1, cpu, tmp_path)), options
