"""The photos of one job: read, split, decoded, and the weight of each class."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from torchvision.transforms import v2

from mpox.config import build, plain
from mpox.curation.guard import guard
from mpox.data.folds import ALL, Folds
from mpox.data.module import FoldData
from mpox.data.small_folds import small_folds
from mpox.data.sources import PhotoSet
from mpox.data.store import open_store, store_key
from mpox.data.task import Targets, label_map
from mpox.errors import UserError
from mpox.model.backbone import InputRecord
from mpox.runs.preparation import prepare

log = logging.getLogger("mpox")


@dataclass(frozen=True)
class FoldInputs:
    """Everything about the photos of one job."""

    photos: PhotoSet
    folds: Folds
    targets: Targets
    label_map: dict[str, int]
    data: FoldData
    key: str


def fold_inputs(cfg: DictConfig, record: InputRecord, own: Path | None = None) -> FoldInputs:
    """Photos, splits, targets and pixels of the job, run directory `own`. Raises UserError for unusable photos."""
    study = Path(cfg.runs_dir) / cfg.study
    photos, folds = prepare(
        study,
        {**plain(cfg.data), "guard": plain(cfg.data_guard)},
        lambda: build(cfg.data, allowed=cfg.allow_targets),
        lambda found: guard(found, Path(cfg.cache_dir), **cfg.data_guard),
        n_folds=cfg.n_folds,
        seed=cfg.seed,
        splits=cfg.splits,
        cache=Path(cfg.cache_dir),
        own=own,
    )
    kept = photos.manifest[photos.manifest["keep"]].reset_index(drop=True)
    photos = PhotoSet(kept, photos.root)
    targets: Targets = build(cfg.task, allowed=cfg.allow_targets)(kept["label"])
    indices = label_map(kept["label"], targets)
    roles = folds.roles(cfg.fold).reindex(kept["photo_id"]).to_numpy(str)
    names = pd.Series(np.array(targets.classes)[targets.values])
    for warning in small_folds(names, kept["group"], folds.of(kept["photo_id"]), range(len(folds.ids))):
        log.warning("%s", warning)
    for role in ("train", "val", "test"):
        present = set(targets.values[roles == role])
        absent = [name for k, name in enumerate(targets.classes) if k not in present]
        if absent and role == "train":
            raise UserError(f"fold {cfg.fold} leaves no {', '.join(absent)} to train on: lower n_folds or add photos")
        if absent and cfg.fold != ALL:
            log.warning("fold %d has no %s among its %s photos: its figures leave it out", cfg.fold, absent, role)
    pixels = open_store(kept, photos.root, record.image_size, record.interpolation, Path(cfg.cache_dir), record.resize)
    transforms = [build(node, allowed=cfg.allow_targets) for node in cfg.augment.transforms.values()]
    data = FoldData(
        pixels,
        targets.values,
        roles,
        batch_size=cfg.batch_size,
        num_workers=cfg.num_workers,
        transform=v2.Compose(transforms) if transforms else None,
        sampling="balanced" if cfg.balance == "sampling" else "shuffle",
        seed=cfg.seed,
        photos_on=cfg.photos_on,
    )
    key = store_key(list(kept["sha256"]), record.image_size, record.interpolation, record.resize)
    return FoldInputs(photos, folds, targets, indices, data, key)


def class_weights(cfg: DictConfig, targets: Targets, train: np.ndarray) -> torch.Tensor:
    """Return weights (C) inverse to the training counts, of mean 1 over photos (float32); ones unless configured.

    `train` is a mask, or row numbers, of the photos.
    """
    if cfg.balance not in ("class_weights", "sampling", "none"):
        raise UserError(f"balance={cfg.balance} is unknown: choose class_weights, sampling or none")
    if cfg.balance != "class_weights":
        return torch.ones(len(targets.classes))
    counts = np.bincount(targets.values[train], minlength=len(targets.classes))
    return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)
