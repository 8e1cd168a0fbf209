"""One fine-tuning with the project's defaults on pixels in memory, without what a study needs around it."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from omegaconf import DictConfig
from torchvision.transforms import v2

import mpox.config  # noqa: F401  # the resolvers of conf/
from mpox.data.module import FoldData
from mpox.model.backbone import PhotoClassifier, build, input_record
from mpox.model.classifier import LesionClassifier
from mpox.model.features import features_of
from mpox.model.weights import find
from mpox.options import config_dir
from mpox.training.length import LENGTH

N_CLASSES = 4
MODELS = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")


def defaults(model: str) -> DictConfig:
    """Return conf/train.yaml with its defaults, for a model."""
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return compose("train", [f"model={model}"])


def photos(folder: Path, n: int, side: int, seed: int = 0) -> tuple[np.memmap, np.ndarray]:
    """Write n generated photos into `folder` as a study keeps them: pixels (n, S, S, 3) uint8 and targets (n) int64.

    Noise of a colour and coarseness that depend on the class, so that there is something to learn.
    """
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % N_CLASSES
    pixels = np.lib.format.open_memmap(folder / f"pixels-{n}-{side}.npy", "w+", np.uint8, (n, side, side, 3))
    for k, target in enumerate(targets):
        coarse = 4 * 2 ** int(target)
        small = rng.normal(120 + 15 * target, 40, (-(-side // coarse), -(-side // coarse), 3))
        picture = np.kron(small, np.ones((coarse, coarse, 1)))[:side, :side] + rng.normal(0, 15, (side, side, 3))
        pixels[k] = np.clip(picture, 0, 255)
    pixels.flush()
    return pixels, targets.astype(np.int64)


def network(model: str, side: int | None = None) -> PhotoClassifier:
    """Return a bundled CNN with its weights and a seeded head."""
    chosen = defaults(model).model
    name = chosen.timm_name
    torch.manual_seed(0)
    return build(name, N_CLASSES, input_record(name, side), find(name, "bundled"), features_of(chosen))


class StopAfterFirst(Callback):
    """End a training when its first epoch is over, as one that is broken off."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop."""
        trainer.should_stop = True


class Job:
    """A fold's data and the trainer's options; `fit` trains a network as `mpox.train` does after the probe."""

    def __init__(
        self, model: str, pixels: np.ndarray, targets: np.ndarray, device: str, *, precision: str = "32-true"
    ) -> None:
        self.cfg = defaults(model)
        self.cfg.image_size = pixels.shape[1]
        self.device, self.precision = device, precision
        self.transform = v2.Compose([instantiate(node) for node in self.cfg.augment.transforms.values()])
        roles = np.array(["test" if k % 8 == 7 else "train" for k in range(len(targets))])
        self.pixels, self.targets, self.roles = pixels, targets, roles

    def data(self, photos_on: str = "device") -> FoldData:
        """Return the fold, its photos where the job trains unless given."""
        return FoldData(
            self.pixels,
            self.targets,
            self.roles,
            batch_size=self.cfg.batch_size,
            transform=self.transform,
            photos_on=photos_on,
        )

    def trainer(self, epochs: int, place: Path, callbacks: tuple[Callback, ...] = ()) -> L.Trainer:
        """Return the trainer and the average of the weights as the configuration has them."""
        checkpoints = ModelCheckpoint(
            place, "last", monitor=None, save_weights_only=False, enable_version_counter=False
        )
        trainer: L.Trainer = instantiate(
            self.cfg.trainer,
            accelerator="gpu" if self.device == "cuda" else "cpu",
            precision=self.precision,
            limit_val_batches=0,
            max_epochs=epochs,
            logger=False,
            enable_progress_bar=False,
            callbacks=[instantiate(self.cfg.callbacks.average), checkpoints, *callbacks],
        )
        return trainer

    def fit(
        self,
        net: PhotoClassifier,
        epochs: int,
        *,
        resume: Path | None = None,
        place: Path | None = None,
        callbacks: tuple[Callback, ...] = (),
        compiled: bool = False,
        photos_on: str = "device",
    ) -> PhotoClassifier:
        """Train `net` for `epochs`, from a checkpoint of the same training where given."""
        options = {name: value for name, value in self.cfg.schedule.finetune.items() if name not in LENGTH}
        module = LesionClassifier(net, instantiate(self.cfg.optimizer), epochs=epochs, **options)
        if compiled:
            net.compile()
        with tempfile.TemporaryDirectory() as scratch:
            trainer = self.trainer(epochs, place or Path(scratch), callbacks)
            trainer.fit(module, self.data(photos_on), ckpt_path=resume and str(resume), weights_only=True)
        return net


def quieten() -> None:
    """Leave out what Lightning prints of every training."""
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def settle(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


@torch.no_grad()
def logits(net: PhotoClassifier, pixels: np.ndarray, device: str, precision: Any = torch.float32) -> torch.Tensor:
    """Return logits (N, C) float32 on the processor, in eval mode on `device`."""
    net = net.eval().to(device)
    images = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).to(device)
    with torch.autocast(device, dtype=precision, enabled=precision is not torch.float32):
        return net(images).float().cpu()
