"""The probe: a linear head on frozen features, solved to its optimum instead of trained for some epochs.

Multinomial logistic regression with an L2 penalty is convex, so its solution depends on no learning rate, no number of
epochs and no order of photos (the transfer protocol of Kornblith et al., "Do Better ImageNet Models Transfer Better?",
CVPR 2019). Starting the fine-tuning from it keeps a random head from distorting the pretrained features
(Kumar et al., "Fine-Tuning can Distort Pretrained Features", ICLR 2022).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from torch.nn import functional as F

from mpox.data.module import Photos
from mpox.files import replacing
from mpox.model.backbone import PhotoClassifier

# L-BFGS stops at this gradient or after this many steps, whichever is first.
TOLERANCE, MAX_STEPS = 1e-6, 500
# Features that do not vary at all would be divided by zero.
SMALLEST_SD = 1e-6
# Principal axes of less than this share of the largest's variance are rounding errors.
RANK_TOLERANCE = 1e-12


@dataclass(frozen=True)
class LinearHead:
    """weight (C, F) and bias (C) on raw features, float32; the penalty chosen and its validation nll."""

    weight: Tensor
    bias: Tensor
    l2: float
    val_nll: float


@torch.no_grad()  # not inference_mode: parameters moved to a GPU under it could never be trained again
def frozen_features(network: PhotoClassifier, photos: Photos, batch_size: int, device: torch.device) -> Tensor:
    """Run the backbone in eval mode over all `photos` once. Returns features_NF float32 on the CPU."""
    was_training = network.training
    network.eval().to(device)
    parts = []
    for start in range(0, len(photos), batch_size):
        batch = photos.__getitems__(list(range(start, min(start + batch_size, len(photos)))))
        parts.append(network.features(batch["image"].to(device)).float().cpu())
    network.train(was_training)
    return torch.cat(parts)


def cached_features(
    network: PhotoClassifier, photos: Photos, photos_key: str, batch_size: int, device: torch.device, cache: Path
) -> Tensor:
    """Return `frozen_features`, computed once for all folds: kept in `cache` under the photos' and the backbone's hash.

    The head plays no part in the key, nor the fold: features of all photos are computed, each job fits on its own.
    """
    key = hashlib.sha256(f"{photos_key} {_fingerprint(network)}".encode()).hexdigest()[:16]
    path = cache / f"features-{key}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                features = frozen_features(network, photos, batch_size, device)
                with replacing(path) as temporary, temporary.open("wb") as file:
                    np.save(file, features.numpy())
    return torch.from_numpy(np.load(path))


def fit_head(
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
    n_classes: int,
    penalties: Sequence[float],
    class_weights: Tensor | None = None,
) -> LinearHead:
    """Fit one head for each L2 penalty on `train` and return the one with the lowest nll on `val`.

    `train` and `val` are (features_NF float32, targets_N int64). Features are centred and divided by one number, their
    common sd over the training photos; both are folded back. One sd a feature would blow up those that hardly vary, and
    with them whatever augmentation and fine-tuning do to them. The penalty `l2 / 2 * ||weight||^2` is added to the mean
    (class-weighted) cross-entropy; the bias is free. Float64 inside, deterministic.
    """
    features, targets = train[0].double(), train[1]
    mean = features.mean(0)
    sd = (features - mean).square().mean().sqrt().clamp_min(SMALLEST_SD)
    weights = None if class_weights is None else class_weights.double()
    axes, scores, spread = _principal((features - mean) / sd)
    theta = torch.zeros(n_classes, len(spread) + 1, dtype=torch.float64)
    best: LinearHead | None = None
    # From the strongest penalty to the weakest, each from the last one's solution: the path is short.
    for l2 in sorted(penalties, reverse=True):
        theta = _solve(scores, targets, theta, l2, weights, spread)
        weight = theta[:, :-1] @ axes.T / sd
        bias = theta[:, -1] - weight @ mean
        nll = F.cross_entropy(val[0].double() @ weight.T + bias, val[1]).item()
        if best is None or nll < best.val_nll:
            best = LinearHead(weight.float(), bias.float(), l2, nll)
    if best is None:
        raise ValueError("fit_head needs at least one penalty")
    return best


def _principal(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn centred features (N, F) to their principal axes, of which there are R <= min(N, F).

    Returns axes (F, R), scores (N, R) and variances (R). A penalised head lies in the span of the features it is fitted
    on, so nothing is lost, and with fewer photos than features the problem is smaller.
    """
    wide = features.shape[1] > features.shape[0]
    squares, vectors = torch.linalg.eigh(features @ features.T if wide else features.T @ features)
    real = squares > squares[-1].clamp_min(SMALLEST_SD) * RANK_TOLERANCE
    squares, vectors = squares[real], vectors[:, real]
    axes = features.T @ vectors / squares.sqrt() if wide else vectors
    return axes, features @ axes, squares / len(features)


def _solve(scores: Tensor, targets: Tensor, start: Tensor, l2: float, weights: Tensor | None, spread: Tensor) -> Tensor:
    """Minimise from `start` (C, R + 1) in coordinates in which the curvature is about one along every axis.

    Along axis r it is about `p (1 - p) * spread[r] + l2`; without this weak penalties take hundreds of steps.
    """
    chance = (scores @ start[:, :-1].T + start[:, -1]).softmax(1)
    curvature = (chance * (1 - chance)).mean()
    unit = torch.cat([(curvature * spread + l2).rsqrt(), curvature.rsqrt().view(1)])
    scaled = (start / unit).requires_grad_(True)
    solver = torch.optim.LBFGS(
        [scaled],
        max_iter=MAX_STEPS,
        tolerance_grad=TOLERANCE,
        tolerance_change=0.0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        solver.zero_grad()
        theta = scaled * unit
        logits = scores @ theta[:, :-1].T + theta[:, -1]
        value = F.cross_entropy(logits, targets, weight=weights) + l2 / 2 * theta[:, :-1].square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(loss)
    return scaled.detach() * unit


def _fingerprint(network: PhotoClassifier) -> str:
    """Hash everything that features depend on: normalisation and the tensors below the head."""
    head = {id(parameter) for parameter in network.head.parameters()}
    digest = hashlib.sha256(type(network.backbone).__name__.encode())
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if id(tensor) not in head:
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
