"""The probe: a linear head on frozen features, solved to its optimum instead of trained for a number of epochs.

Multinomial logistic regression with an L2 penalty is convex, so its solution depends on no learning rate, no number of
epochs and no order of photos (the transfer protocol of Kornblith et al., "Do Better ImageNet Models Transfer Better?",
CVPR 2019). Starting the fine-tuning from it keeps a random head from distorting the pretrained features
(Kumar et al., "Fine-Tuning can Distort Pretrained Features", ICLR 2022).

The heads of all folds are one problem: the photos are read once a step for all of them.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mpox.cached import kept

log = logging.getLogger("mpox")
# Version of the solver, part of the cache key: increase it when the solution changes.
VERSION = 1
# L-BFGS stops at this gradient or after this many steps, whichever is first.
TOLERANCE, MAX_STEPS = 1e-6, 500
# A gradient above this is reported: probabilities are wrong by about as much.
ROUGH = 1e-4
# Constant features would otherwise be divided by zero.
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


@dataclass(frozen=True)
class Problem:
    """The data of the heads of K folds: N rows, photos or views of them, of which each fold uses its own.

    features (N, F) float32, targets (N) int64; train and val (K, N) bool; class_weights (K, C) float32, all one where
    classes have the same weight. The weighted loss of a fold is divided by the sum of its rows' weights. `widths` are
    the numbers of features of parts that count the same; without, there is one part.
    """

    features: Tensor
    targets: Tensor
    train: Tensor
    val: Tensor
    class_weights: Tensor
    widths: tuple[int, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of everything on which the solution depends."""
        digest = hashlib.sha256(str(self.widths or "").encode())
        for tensor in (self.features, self.targets, self.train, self.val, self.class_weights):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


def cached_heads(problem: Problem, penalties: Sequence[float], cache: Path) -> list[LinearHead]:
    """Return `fit_heads`, solved once: the first job that needs one solves those of all folds, the others read them."""
    key = hashlib.sha256(f"{VERSION} {problem.sha256} {sorted(penalties)}".encode()).hexdigest()[:16]

    return kept(cache / f"heads-{key}.npz", lambda: fit_heads(problem, penalties), _save_heads, _load_heads)


def _save_heads(heads: Sequence[LinearHead], path: Path) -> None:
    with path.open("wb") as file:
        np.savez(
            file,
            weight=np.stack([head.weight.numpy() for head in heads]),
            bias=np.stack([head.bias.numpy() for head in heads]),
            l2=[head.l2 for head in heads],
            val_nll=[head.val_nll for head in heads],
        )


def _load_heads(path: Path) -> list[LinearHead]:
    with np.load(path) as content:
        rows = zip(content["weight"], content["bias"], content["l2"], content["val_nll"], strict=True)
        return [LinearHead(torch.from_numpy(w), torch.from_numpy(b), float(l2), float(nll)) for w, b, l2, nll in rows]


def fit_heads(problem: Problem, penalties: Sequence[float]) -> list[LinearHead]:
    """Fit each fold's head for each L2 penalty on its train rows; return the one with the lowest nll on its val rows.

    Features are divided by one number, their common sd over the fold's training rows, which is folded back. One sd a
    feature would amplify features that hardly vary, and with them the effects of augmentation and fine-tuning. The
    penalty `l2 / 2 * ||weight||^2` is added to the mean weighted cross-entropy; the bias is free. Parts of the features
    are first brought to one total variance over the photos of all folds, so that neither the number nor the size of its
    features decides how much a part counts. Float64 inside, deterministic. Raises ValueError without penalties.
    """
    if not penalties:
        raise ValueError("fit_heads needs at least one penalty")
    used = problem.train.any(0)
    parts = _part_scales(problem.features[used].double(), problem.widths)
    features = problem.features.double() / parts
    mean, scale = features[used].mean(0), _common_sd(features, problem.train)
    # Axes and unit are the same for all folds: a change of coordinates, which does not change the optimum.
    unit = scale.mean()
    axes, scores, spread = _principal((features[used] - mean) / unit)
    shares = problem.train * problem.class_weights.double()[:, problem.targets]
    shares = (shares / shares.sum(1, keepdim=True))[:, used]
    theta = torch.zeros(*problem.class_weights.shape, len(spread) + 1, dtype=torch.float64)
    best: list[LinearHead | None] = [None] * len(theta)
    # From the strongest penalty to the weakest, each from the last one's solution: the path is short.
    for l2 in sorted(penalties, reverse=True):
        theta = _solve(scores, problem.targets[used], shares, theta, l2 * (scale / unit).square(), spread)
        weights = theta[..., :-1] @ axes.T / unit
        biases = theta[..., -1] - weights @ mean
        for fold, (weight, bias, val) in enumerate(zip(weights, biases, problem.val, strict=True)):
            nll = F.cross_entropy(features[val] @ weight.T + bias, problem.targets[val]).item()
            so_far = best[fold]
            if so_far is None or nll < so_far.val_nll:
                best[fold] = LinearHead((weight / parts).float(), bias.float(), l2, nll)
    return [head for head in best if head is not None]


def _part_scales(features: Tensor, widths: Sequence[int]) -> Tensor:
    """Return a divisor (F) of each feature that gives all parts one total variance; 1 where there is one part."""
    if len(widths) < 2:
        return torch.ones(features.shape[1], dtype=features.dtype)
    variances = features.var(0, correction=0)
    each = [part.sum().sqrt().clamp_min(SMALLEST_SD).expand(len(part)) for part in variances.split(list(widths))]
    return torch.cat(each) / each[-1][-1]


def _common_sd(features: Tensor, train: Tensor) -> Tensor:
    """Return the sd (K) of all features together about their means over each fold's training rows."""
    return torch.stack(
        [(features[rows] - features[rows].mean(0)).square().mean().sqrt().clamp_min(SMALLEST_SD) for rows in train]
    )


def _principal(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotate centred features (N, F) to their R <= min(N, F) principal axes.

    Returns axes (F, R), scores (N, R) and variances (R). A penalised head lies in the span of the features it is fitted
    on, so nothing is lost, and with fewer photos than features the problem is smaller.
    """
    wide = features.shape[1] > features.shape[0]
    squares, vectors = torch.linalg.eigh(features @ features.T if wide else features.T @ features)
    real = squares > squares[-1].clamp_min(SMALLEST_SD) * RANK_TOLERANCE
    squares, vectors = squares[real], vectors[:, real]
    axes = features.T @ vectors / squares.sqrt() if wide else vectors
    return axes, features @ axes, squares / len(features)


def _solve(scores: Tensor, targets: Tensor, shares: Tensor, start: Tensor, l2: Tensor, spread: Tensor) -> Tensor:
    """Minimise the sum of the folds' losses from `start` (K, C, R + 1); `shares` (K, N) are the weights of the rows.

    No fold's loss depends on another's parameters, so the sum is at its minimum where each of them is. In the
    coordinates used, the curvature is about one along every axis: along axis r of fold k it is about
    `p (1 - p) * spread[r] + l2[k]` (without this weak penalties take hundreds of steps).
    """

    def logits(theta: Tensor) -> Tensor:  # (N, K, C): one product for all folds
        weight = theta[..., :-1].flatten(0, 1)
        return (scores @ weight.T).unflatten(1, theta.shape[:2]) + theta[..., -1]

    chance = logits(start).softmax(2)
    curvature = (shares.T[..., None] * chance * (1 - chance)).sum(0).mean(1, keepdim=True)
    unit = torch.cat([(curvature * spread + l2[:, None]).rsqrt(), curvature.rsqrt()], 1)[:, None]
    scaled = (start / unit).requires_grad_(True)
    solver = torch.optim.LBFGS(
        [scaled],
        max_iter=MAX_STEPS,
        tolerance_grad=TOLERANCE,
        tolerance_change=0.0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )
    expected = targets[:, None].expand(-1, len(start))

    def loss() -> Tensor:
        solver.zero_grad()
        theta = scaled * unit
        losses = F.cross_entropy(logits(theta).mT, expected, reduction="none")
        value = (shares.T * losses).sum() + (l2 / 2 * theta[..., :-1].square().sum((1, 2))).sum()
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(loss)
    if scaled.grad is not None and (left := float(scaled.grad.abs().max())) > ROUGH:
        log.warning("probe: L2 %g is not solved to its optimum (gradient %.1g)", float(l2.max()), left)
    return scaled.detach() * unit
