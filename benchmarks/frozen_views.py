"""What stays the same in every trial of one photo set: its groups, and views of its photos through the frozen layers.

The layers below `frozen_depth=0.33` never change in fine-tuning, so what comes out of them depends on the photo and
its view alone. It is computed once and kept; a fine-tuning then costs less than half, a linear head seconds.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from mpox.data.module import FoldData
from mpox.files import replacing
from mpox.model.backbone import PhotoClassifier, build, input_record
from mpox.model.features import LAST
from mpox.model.stages import pooled_features
from mpox.model.weights import find
from mpox.options import config_dir
from mpox.training.inputs import fold_inputs

# The blocks of EfficientNet-Lite that lie below frozen_depth=0.33.
FROZEN_BLOCKS = 3
FLIPS: dict[str, tuple[int, ...]] = {"plain": (), "mirrored": (3,), "upside_down": (2,), "turned": (2, 3)}
BATCH = 32


def options_of(description: str | None, seeds: str) -> argparse.ArgumentParser:
    """Return the options that all trials on frozen views take; `seeds` are the usual ones, separated by commas."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="msid")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--place", type=Path, required=True)
    parser.add_argument("--seeds", default=seeds)
    return parser


@dataclass(frozen=True)
class PhotoTable:
    """Targets (N, int64), groups (N, str) and pixels of the photos; `positive` is the mpox class's index."""

    targets: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]
    positive: int
    data: FoldData


class UpperNetwork(PhotoClassifier):
    """The layers above the frozen ones: takes their maps (N, C, H, W) for photos."""

    def normalise(self, images_NCHW: Tensor) -> Tensor:
        """Return maps as float32."""
        return images_NCHW.float()

    def classify(self, normalised_NCHW: Tensor) -> Tensor:
        """Return logits_NC."""
        return self.head(pooled_features(self.backbone, self.maps(normalised_NCHW)))

    def maps(self, normalised_NCHW: Tensor) -> list[Tensor]:
        """Return the maps of the stages that are pooled, and the last features at the end."""
        backbone, pooled = self.backbone, self.stages.numbers if self.stages is not None else ()
        x = normalised_NCHW
        found = {FROZEN_BLOCKS: x}  # timm's number 0 is the stem
        for number, block in enumerate(backbone.blocks[FROZEN_BLOCKS:], FROZEN_BLOCKS + 1):
            x = found[number] = block(x)
        return [*(found[number] for number in pooled), backbone.bn2(backbone.conv_head(x))]


class FrozenViews:
    """Views of all photos through one EfficientNet-Lite with its ImageNet weights, each computed on first use.

    A view is named `plain`, `mirrored`, `upside_down`, `turned`, `side-<pixels>` or `epoch-<number>` (augmented as in
    that epoch of the default recipe), with `-of-<pixels>` behind it for cuts of another size. Everything is kept below
    `place`.
    """

    def __init__(self, model: str, data: str, root: Path, place: Path) -> None:
        self.model, self.place, self._options = model, place, (f"data={data}", f"data.root={root}")
        self.photos = self._photos(None)

    def _photos(self, side: int | None, cut: str = "") -> PhotoTable:
        options = [
            *self._options, f"model={self.model}", f"runs_dir={self.place}/runs", f"study=views-{side or 'native'}",
            "data_guard.search=full", "data_guard.conflicts=drop", "logger=none", "trainer=cpu", "photos_on=processor",
            *([f"augment.transforms.crop.size={cut}"] if cut else []),
        ]  # fmt: skip
        with initialize_config_dir(config_dir(), version_base="1.3"):
            cfg = compose("train", options)
        record = input_record(cfg.model.timm_name, side)
        cfg.image_size = record.image_size
        inputs = fold_inputs(cfg, record)
        groups = inputs.photos.manifest["group"].to_numpy(str)
        assert inputs.targets.positive is not None
        return PhotoTable(inputs.targets.values, groups, inputs.targets.classes, inputs.targets.positive, inputs.data)

    def network(self, features: str = LAST) -> UpperNetwork:
        """Return the layers above the frozen ones with their ImageNet weights and a head of the photos' classes."""
        name = f"{self.model}.in1k"
        record = input_record(name, None)
        whole = build(name, len(self.photos.classes), record, find(name, "bundled", None), features)
        upper = UpperNetwork(whole.backbone, record, whole.stages)
        return upper.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def maps(self, view: str) -> np.ndarray:
        """Return what comes out of the frozen layers: float16 (N, H, W, C), memory-mapped."""
        self._make(view)
        return np.load(self._path("maps", view), mmap_mode="r")

    def features(self, view: str, kind: str = LAST) -> Tensor:
        """Return the features of the whole network before any training: float32 (N, F)."""
        self._make(view)
        path = self._path("features" if kind == LAST else f"features-{kind}", view)
        if not path.exists():
            network, maps = self.network(kind).eval(), self.maps(view)
            with torch.no_grad():
                parts = [network.features(as_maps(maps[k : k + BATCH])) for k in range(0, len(maps), BATCH)]
            _save(path, torch.cat(parts).numpy())
        return torch.from_numpy(np.load(path))

    def widths(self, kind: str = LAST) -> tuple[int, ...]:
        """Return how many features each part has."""
        return self.network(kind).feature_widths

    def _path(self, what: str, view: str) -> Path:
        return self.place / f"{what}-{self.model}-{view}.npy"

    @torch.no_grad()
    def _make(self, view: str) -> None:
        if self._path("features", view).exists():
            return
        name, _, cut = view.partition("-of-")
        kind, _, number = name.partition("-")
        side = int(number) if kind == "side" else None
        photos = self._photos(side, cut) if side or cut else self.photos
        batches = photos.data.view(int(number) if kind == "epoch" else None)
        network, all_maps, features = self.network().eval(), [], []
        backbone = network.backbone
        for start in range(0, len(batches), BATCH):
            images = batches.__getitems__(list(range(start, min(start + BATCH, len(batches)))))["image"]
            images = network.normalise(images).flip(FLIPS.get(view, ()))
            images = images.contiguous(memory_format=torch.channels_last)
            maps = backbone.blocks[:FROZEN_BLOCKS](backbone.bn1(backbone.conv_stem(images)))
            features.append(network.features(maps).numpy())
            all_maps.append(maps.permute(0, 2, 3, 1).half().numpy())
        _save(self._path("maps", view), np.concatenate(all_maps))
        _save(self._path("features", view), np.concatenate(features))


def as_maps(stored: np.ndarray) -> Tensor:
    """Return stored maps (B, H, W, C) as the network takes them: float32 (B, C, H, W) in channels_last."""
    return torch.from_numpy(np.ascontiguousarray(stored)).permute(0, 3, 1, 2).float()


def _save(path: Path, values: np.ndarray) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, values)
