"""What comes out of the frozen layers, once for all folds: augmentation depends on seed, epoch and photo alone.

A file a view: the photos as they are, and as each epoch augments them. The first job that needs one makes it, others
wait for it. Training from it gives the weights that training from the photos gives, to the last bit (`exact`), at less
than half the work; where that cannot be, the photos go through the whole network, and the log says why.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import lightning as L
import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from mpox.cached import built, warn_not_kept
from mpox.config import plain
from mpox.data.array_file import array_file
from mpox.data.module import Photos
from mpox.errors import UserError
from mpox.model.classifier import LesionClassifier
from mpox.model.trunk import NoTrunkError, Trunk, find_trunk
from mpox.training.inputs import FoldInputs
from mpox.training.pace import FULL, REDUCED

log = logging.getLogger("mpox")
KINDS: dict[str, type[np.generic]] = {"exact": np.float32, "half": np.float16}
OFF = "off"
BATCH_HOOKS = (
    *("on_train_batch_start", "on_train_batch_end"),
    *("on_validation_batch_start", "on_validation_batch_end"),
)
NAME = "frozen-maps-"


class FrozenMaps:
    """The outputs of a trunk by view: None for the photos as they are, or the number of an epoch.

    Files of `limit` bytes in all stay in `cache`; older ones go.
    """

    def __init__(
        self,
        trunk: Trunk,
        view: Callable[[int | None], Photos],
        key: str,
        batch_size: int,
        cache: Path,
        dtype: type[np.generic],
        limit: int,
    ) -> None:
        self.trunk, self.view, self.batch_size = trunk, view, batch_size
        self.cache, self.dtype, self.limit = cache, dtype, limit
        self.key = hashlib.sha256(f"{key} {batch_size} {dtype.__name__} {trunk.fingerprint}".encode()).hexdigest()[:16]
        self._opened: dict[int | None, np.ndarray | None] = {}

    def __call__(self, number: int | None, rows: np.ndarray) -> Tensor | None:
        """Return (B, D) float32 of the photos `rows`; None where the file cannot be written."""
        if number not in self._opened:
            self._opened = {view: array for view, array in self._opened.items() if view is None}  # one epoch at a time
            self._opened[number] = self._open(number)
        array = self._opened[number]
        return None if array is None else torch.from_numpy(array[rows].astype(np.float32, copy=False))

    def row_bytes(self, number: int | None) -> int:
        """Return the bytes of a photo."""
        return self._batch(self.view(number), 0, 1).nbytes

    def _open(self, number: int | None) -> np.ndarray | None:
        path = self.cache / f"{NAME}{self.key}-{'plain' if number is None else number}.npy"
        try:
            built(path, lambda temporary: self._write(temporary, self.view(number)))
            os.utime(path.with_suffix(".sha256"))  # when it was used last
            return np.load(path, mmap_mode="r")
        except OSError as error:
            warn_not_kept(path, error)
            return None

    def _write(self, path: Path, photos: Photos) -> str:
        first = self._batch(photos, 0, self.batch_size)
        make_room(self.cache, self.key, self.limit - len(photos) * first[0].nbytes)
        with array_file(path, (len(photos), first.shape[1]), self.dtype) as array:
            for start in range(0, len(photos), self.batch_size):
                batch = self._batch(photos, start, self.batch_size) if start else first
                for row in batch[: len(photos) - start]:
                    array.append(row)
        return array.sha256

    def _batch(self, photos: Photos, start: int, n: int) -> np.ndarray:
        """Always `n` photos, from the beginning again after the last: kernels may sum otherwise in other batches."""
        images = photos.__getitems__([k % len(photos) for k in range(start, start + n)])["image"]
        return self.trunk.run(images).numpy().astype(self.dtype)


def frozen_maps(cfg: DictConfig, trainer: L.Trainer, inputs: FoldInputs, module: LesionClassifier) -> FrozenMaps | None:
    """Return the maps that fine-tuning starts from, None where it starts from the photos; the log says why.

    Raises UserError for an unknown `frozen_maps`.
    """
    if cfg.frozen_maps not in (*KINDS, OFF):
        raise UserError(f"frozen_maps={cfg.frozen_maps} is unknown: choose {', '.join(KINDS)} or {OFF}")
    try:
        if why := _hindrance(cfg, trainer):
            raise NoTrunkError(why)
        view = inputs.data.view
        key = f"{inputs.key} {plain(cfg.augment)} {cfg.seed}"
        options = cfg.batch_size, Path(cfg.cache_dir), KINDS[cfg.frozen_maps], round(cfg.cache_gb * 1e9)
        maps = FrozenMaps(_trunk(module, reduced=str(trainer.precision) == REDUCED), view, key, *options)
        n = len(inputs.targets.values)
        needed = n * (maps.row_bytes(0) * (trainer.max_epochs or 0) + maps.row_bytes(None))
        if needed > maps.limit:
            raise NoTrunkError(f"they would take {needed / 1e9:.1f} GB, cache_gb={cfg.cache_gb}")
    except NoTrunkError as error:
        log.info("the frozen layers are run again in this fold: %s", error)
        return None
    return maps


def _trunk(module: LesionClassifier, *, reduced: bool) -> Trunk:
    """The layers that stay as they are in training; the modes are then those of a network that is not yet trained."""
    module.train()
    module.freeze_norms()
    try:
        return find_trunk(module.network, reduced=reduced)
    finally:
        module.train()


def _hindrance(cfg: DictConfig, trainer: L.Trainer) -> str | None:
    if cfg.frozen_maps == OFF:
        return "frozen_maps=off"
    if trainer.world_size > 1 or trainer.strategy.root_device.type != "cpu":
        return "training is not on one processor"
    if str(trainer.precision) not in (FULL, REDUCED):
        return f"trainer.precision={trainer.precision}"
    if cfg.compile:
        return "compile=true"
    if cfg.augment.mix:
        return "augment.mix mixes photos"
    if looking := [one for one in trainer.callbacks if _sees_batches(one)]:  # type: ignore[attr-defined]
        return f"{type(looking[0]).__name__} is given the photos of each batch"
    return None


def _sees_batches(callback: L.Callback) -> bool:
    """Whether a callback of somebody else's is given batches: it may look for the photos in them."""
    kind = type(callback)
    foreign = kind.__module__.partition(".")[0] not in ("mpox", "lightning")
    return foreign and any(getattr(kind, hook) is not getattr(L.Callback, hook) for hook in BATCH_HOOKS)


def make_room(cache: Path, key: str, limit: int) -> None:
    """Remove the maps of other keys that were used longest ago, until all take `limit` bytes at most."""
    files = sorted(cache.glob(f"{NAME}*.npy"), key=_used)
    total = sum(path.stat().st_size for path in files)
    for path in files:
        if total <= limit:
            return
        if not path.name.startswith(f"{NAME}{key}-"):
            total -= path.stat().st_size
            path.unlink(missing_ok=True)
            path.with_suffix(".sha256").unlink(missing_ok=True)


def _used(path: Path) -> float:
    beside = path.with_suffix(".sha256")
    return beside.stat().st_mtime if beside.exists() else 0.0
