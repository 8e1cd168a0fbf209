"""A finished run opened to be explained: its network, its photos as the network sees them, and their roles in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mpox.data.folds import ALL, NONE_HELD_OUT, read_folds, title_of
from mpox.data.manifest import read_manifest
from mpox.data.store import open_store
from mpox.data.task import REST, indices
from mpox.data.unchanged import changed_photos
from mpox.errors import UserError
from mpox.files import read_record, read_yaml
from mpox.model.backbone import PhotoClassifier
from mpox.model.checkpoint import Card, load_checkpoint
from mpox.runs.preparation import recorded_root

ROLES = ("train", "val", "test")


@dataclass(frozen=True)
class OpenedRun:
    """Network (eval mode, on its device) and photos of one run.

    `photos` holds the manifest's columns of the kept photos, `role` (train, val or test in this run) and `target`
    (index of the true class, int64); `pixels` (N, S, S, 3) uint8 are in the same order.
    """

    path: Path
    network: PhotoClassifier
    card: Card
    config: dict[str, Any]
    photos: pd.DataFrame
    pixels: np.ndarray
    root: Path

    @property
    def name(self) -> str:
        """Study, model and fold, to be written on pictures and reports."""
        return f"{self.card.study}: {self.card.model}, {title_of(self.card.fold)}"

    @property
    def is_final(self) -> bool:
        """Whether every photo trained the network: none of them is held out."""
        return self.card.fold == ALL

    @property
    def caution(self) -> str:
        """What must stand beside figures and maps of a network that every photo trained; empty for one of a fold."""
        return NONE_HELD_OUT if self.is_final else ""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.scale.device

    def rows(self, role: str) -> np.ndarray:
        """Rows of the photos of a role, or of `all` but the training ones (int64). UserError for another word.

        Every photo of a final network has every role.
        """
        if role not in (*ROLES, "all"):
            raise UserError(f"split={role} is unknown: choose test, val, train or all (val and test)")
        if self.is_final:
            return np.arange(len(self.photos))
        roles = self.photos["role"]
        return np.flatnonzero(roles.isin(("val", "test")) if role == "all" else roles == role)

    def images(self, rows: np.ndarray) -> Tensor:
        """Return these photos as images_NCHW, float32 0..255, on the network's device."""
        return as_images(self.pixels[rows], self.device)


def as_images(pixels: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Pixels (N, S, S, 3), 0..255, as images_NCHW float32."""
    return torch.from_numpy(np.array(pixels)).to(device).permute(0, 3, 1, 2).float()


@torch.no_grad()
def logits_of(network: PhotoClassifier, images_NCHW: Tensor, batch_size: int) -> Tensor:
    """Return logits_NC (float32, on the CPU), `batch_size` photos at a time."""
    return torch.cat([network(part).float().cpu() for part in images_NCHW.split(batch_size)])


def choose_device(name: str) -> torch.device:
    """Turn `auto` into the GPU where there is one; UserError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={name} cannot be used here: choose cpu, cuda or auto") from error


def open_run(path: str | Path, *, device: str = "auto", root: str | None = None, cache: str | None = None) -> OpenedRun:
    """Open the run directory `path`. `root` is the folder of its photos now, `cache` where decoded ones are kept.

    They default to what the study recorded and to `<runs_dir>/.cache`. Raises UserError for a directory that is not
    a finished run, photos that are gone or changed, and splits other than those the run was trained on.
    """
    place = Path(path).expanduser()
    if not (place / "config.yaml").is_file() or not (place / "checkpoint.ckpt").is_file():
        raise UserError(f"{place} is not a finished run: give run=<runs_dir>/<study>/<model>/fold-<k>")
    config = read_yaml(place / "config.yaml")
    network, card = load_checkpoint(place / "checkpoint.ckpt")
    _check_own(place, card, config)
    study = place.resolve().parents[1]
    for name in ("manifest.parquet", "data.json", "splits.json"):
        if not (study / name).is_file():
            raise UserError(f"study {study} lacks {name}: keep the run inside the folder of its study")
    manifest = read_manifest(study / "manifest.parquet")
    photos = manifest[manifest["keep"]].reset_index(drop=True)
    base = Path(root or recorded_root(study))
    store = Path(cache) if cache else study.parent / ".cache"
    if gone := changed_photos(photos, base, store):
        raise UserError(
            f"{len(gone)} photos are missing or changed in {base} (first: {gone[0]}): give root=<their folder>"
        )
    folds = read_folds(study / "splits.json", manifest, config["n_folds"])
    if folds.sha256 != card.splits_sha256:
        raise UserError(f"{study / 'splits.json'} was changed since {place} was trained on it: restore it")
    photos["role"] = folds.roles(card.fold).reindex(photos["photo_id"]).to_numpy(str)
    placed = card.targets or _label_map(photos["label"], card.classes, config["task"].get("positive") or ())
    photos["target"] = indices(photos["label"], placed)
    record = card.record
    pixels = open_store(photos, base, record.image_size, record.interpolation, store, record.resize)
    return OpenedRun(place, network.to(choose_device(device)), card, config, photos, pixels, base)


def _check_own(place: Path, card: Card, config: dict[str, Any]) -> None:
    """Raise UserError where the checkpoint is not of the run whose files are beside it."""
    own = {"study": config["study"], "model": config["model"]["name"], "fold": config["fold"]}
    of = {name: getattr(card, name) for name in own}
    environment = place / "environment.json"
    splits = read_record(environment).get("splits_sha256") if environment.is_file() else None
    if of != own or splits not in (None, card.splits_sha256):
        made = ", ".join(f"{name} {value}" for name, value in of.items())
        what = f"{made}" if of != own else f"{made}, trained on other splits"
        raise UserError(f"{place / 'checkpoint.ckpt'} is of another run ({what}): restore this run's own")


def _label_map(labels: pd.Series, classes: tuple[str, ...], positive: Sequence[str]) -> dict[str, int]:
    """The class index of each label in a run whose card lacks it: by the names of the two tasks there were.

    In the binary task every name in `positive` (any case) means mpox, and what is not mpox is the rest.
    """
    if len(classes) == 2 and REST in classes:
        rest = classes.index(REST)
        mpox = {name.lower() for name in (*positive, classes[1 - rest])}
        return {label: 1 - rest if label.lower() in mpox else rest for label in labels.unique()}
    return {name: k for k, name in enumerate(classes)}
