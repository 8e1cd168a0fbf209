"""The first phase of a job: the head that is best for the frozen features."""

import dataclasses
import logging
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from mpox.config import plain
from mpox.data.folds import ALL
from mpox.model.backbone import PhotoClassifier
from mpox.model.frozen import cached_features
from mpox.model.probe import LinearHead, Problem, cached_heads, fit_heads
from mpox.training.inputs import FoldInputs, class_weights

log = logging.getLogger("mpox")


def probe(cfg: DictConfig, network: PhotoClassifier, inputs: FoldInputs, device: torch.device) -> torch.Tensor:
    """Set the head to the best linear classifier of the frozen features; validation chooses its penalty.

    Returns features_NF of all photos, float32 on the CPU.
    """
    numbers: list[int | None] = [None, *range(cfg.schedule.probe.get("views", 0))]
    recipe = f"{plain(cfg.augment)} {cfg.seed}"
    keys = [inputs.key if number is None else f"{inputs.key} {recipe} {number}" for number in numbers]
    options = cfg.batch_size, device, Path(cfg.cache_dir)
    features = [
        cached_features(network, inputs.data.view(n), key, *options) for n, key in zip(numbers, keys, strict=True)
    ]
    folds, problem = _heads_of_all_folds(cfg, inputs, features, network.feature_widths)
    heads = cached_heads(problem, list(cfg.schedule.probe.penalties), Path(cfg.cache_dir))
    if cfg.fold == ALL:
        head = _head_of_all_photos(cfg, inputs, problem, [head.l2 for head in heads])
        log.info("probe: L2 %g, the median of the folds", head.l2)
    else:
        head = heads[folds.index(cfg.fold)]
        log.info("probe: L2 %g chosen, validation nll %.4f", head.l2, head.val_nll)
    network.set_head(head.weight, head.bias)
    return features[0]


def _heads_of_all_folds(
    cfg: DictConfig, inputs: FoldInputs, features: list[torch.Tensor], widths: tuple[int, ...]
) -> tuple[list[int], Problem]:
    """Return the folds with training photos of every class, and the problem of their heads on photos and views."""
    ids, values = inputs.photos.manifest["photo_id"], inputs.targets.values
    roles = np.stack([inputs.folds.roles(fold).reindex(ids).to_numpy(str) for fold in range(len(inputs.folds.ids))])
    folds = [k for k, row in enumerate(roles) if len(set(values[row == "train"])) == len(inputs.targets.classes)]
    train, val = torch.from_numpy(roles[folds] == "train"), torch.from_numpy(roles[folds] == "val")
    views = len(features)
    return folds, Problem(
        torch.cat(features),
        torch.tensor(values).repeat(views),
        train.repeat(1, views),
        torch.cat([val, torch.zeros_like(val).repeat(1, views - 1)], 1),
        torch.stack([class_weights(cfg, inputs.targets, mask) for mask in train.numpy()]),
        widths,
    )


def _head_of_all_photos(
    cfg: DictConfig, inputs: FoldInputs, problem: Problem, penalties: Sequence[float]
) -> LinearHead:
    """Return the head of every photo and view, with the median penalty of the folds; nothing is chosen."""
    every = torch.ones(1, len(problem.targets), dtype=torch.bool)
    weights = class_weights(cfg, inputs.targets, np.arange(len(inputs.targets.values)))[None]
    whole = dataclasses.replace(problem, train=every, val=every, class_weights=weights)
    return fit_heads(whole, [statistics.median_low(penalties)])[0]
