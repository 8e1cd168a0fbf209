"""Fine-tune the layers above the frozen ones on kept views: the product's module and average, its recipe varied."""

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.frozen_views import BATCH, FrozenViews, UpperNetwork, as_maps
from mpox.data.module import EpochSampler
from mpox.model.classifier import LesionClassifier
from mpox.model.features import LAST
from mpox.model.probe import LinearHead, Problem, fit_heads
from mpox.training.average import MovingAverage

PENALTIES = (10, 3, 1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
# Augmented views that are kept; a longer training sees them again.
KEPT_EPOCHS = 10
MIXES: dict[str, Callable[..., Any]] = {
    "mixup": functools.partial(v2.MixUp, alpha=0.2),
    "cutmix": functools.partial(v2.CutMix, alpha=1.0),
}


@dataclass(frozen=True)
class Recipe:
    """How the upper layers are trained; the defaults are those of `probe_then_finetune` with `frozen_depth=0.33`."""

    epochs: int = 10
    frozen_depth: float = 0.33
    rate: float = 5e-4
    first_layer_rate: float = 0.5
    depthwise: str = "frozen"
    features: str = LAST
    label_smoothing: float = 0.0
    mix: str | None = None  # mixup or cutmix, of the maps that come out of the frozen layers
    cut: int | None = None  # side of the cuts that train, pixels; None: four fifths of the side that is tested
    anchor: float = 0.0  # L2-SP: pull towards the ImageNet weights instead of towards zero


class CachedViews(Dataset[Any]):
    """The training photos' maps in the view of the current epoch, a batch at a time; targets are classes or shares."""

    def __init__(
        self, views: FrozenViews, rows: np.ndarray, targets_of: Callable[[int], Tensor], cut: int | None = None
    ) -> None:
        self.views, self.rows, self.targets_of, self.epoch = views, rows, targets_of, 0
        self.size = f"-of-{cut}" if cut else ""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, items: Sequence[int]) -> dict[str, Tensor]:
        """Return maps (B, C, H, W) float32 and targets of the items."""
        rows, epoch = self.rows[list(items)], self.epoch % KEPT_EPOCHS
        return {
            "image": as_maps(self.views.maps(f"epoch-{epoch}{self.size}")[rows]),
            "target": self.targets_of(epoch)[rows],
        }


class Anchored(LesionClassifier):
    """`LesionClassifier` with L2-SP (Li, Grandvalet & Davoine 2018) on all trained layers but the head."""

    def __init__(self, *arguments: Any, anchor: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        head = {id(parameter) for parameter in self.network.head.parameters()}
        trained = [p for p in self.network.parameters() if p.requires_grad and id(p) not in head]
        self.anchor, self._pairs = anchor, [(p, p.detach().clone()) for p in trained]

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Add half the squared distance from the start, times `anchor`."""
        away = sum(((now - start).square().sum() for now, start in self._pairs), torch.zeros(()))
        return super().training_step(batch, index) + self.anchor / 2 * away


def class_weights(targets: np.ndarray, n_classes: int) -> Tensor:
    """Return the product's weights (C): inverse to the counts, of mean 1 over photos."""
    counts = np.bincount(targets, minlength=n_classes)
    return torch.tensor(counts.sum() / (n_classes * counts), dtype=torch.float32)


def heads(
    features: Tensor,
    targets: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    penalties: Sequence[float] = PENALTIES,
    widths: tuple[int, ...] = (),
) -> list[LinearHead]:
    """Return the probe's heads of K folds; `train` and `val` are masks (K, N), `widths` those of parts of features."""
    n_classes = int(targets.max()) + 1
    weights = torch.stack([class_weights(targets[mask], n_classes) for mask in train])
    masks = torch.from_numpy(train), torch.from_numpy(val)
    return fit_heads(Problem(features, torch.tensor(targets), *masks, weights, widths), penalties)


def fit(
    views: FrozenViews,
    rows: np.ndarray,
    recipe: Recipe,
    head: LinearHead | None,
    seed: int,
    soft: Callable[[int], Tensor] | None = None,
) -> UpperNetwork:
    """Train on the photos `rows` from the probe's head (None: a random one) and return the averaged network.

    `soft` gives shares (N, C) of all photos in the view of an epoch, to learn from instead of the labels.
    """
    L.seed_everything(seed, verbose=False)
    network, photos = views.network(recipe.features), views.photos
    if head is not None:
        network.set_head(head.weight, head.bias)
    labels = torch.tensor(photos.targets)
    mix = MIXES[recipe.mix](num_classes=len(photos.classes)) if recipe.mix else None
    options: dict[str, Any] = {
        "epochs": recipe.epochs,
        "first_layer_rate": recipe.first_layer_rate,
        "frozen_depth": recipe.frozen_depth,
        "depthwise": recipe.depthwise,
        "label_smoothing": recipe.label_smoothing,
        # Shares come from networks that were trained with the weights.
        "class_weights": None if soft else class_weights(photos.targets[rows], len(photos.classes)),
        "mix": mix,
        "seed": seed,
    }
    optimizer = functools.partial(torch.optim.AdamW, lr=recipe.rate, weight_decay=0.0 if recipe.anchor else 0.05)
    if recipe.anchor:
        module: LesionClassifier = Anchored(network, optimizer, anchor=recipe.anchor, **options)
    else:
        module = LesionClassifier(network, optimizer, **options)
    cached = CachedViews(views, rows, soft or (lambda _: labels), recipe.cut)
    loader = DataLoader(
        cached,
        batch_size=BATCH,
        sampler=EpochSampler(cached, seed),  # type: ignore[arg-type]  # it needs length and epoch alone
        drop_last=len(rows) > BATCH,
        collate_fn=lambda batch: batch,  # a batch comes whole from __getitems__
    )
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=recipe.epochs, gradient_clip_val=1.0, callbacks=[MovingAverage(0.98)],
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, loader)
    return network.eval()


@torch.no_grad()
def logits(network: UpperNetwork, views: FrozenViews, rows: np.ndarray, view: str = "plain") -> Tensor:
    """Return logits (B, C) of the photos `rows` in one view."""
    network.eval()
    maps = views.maps(view)
    return torch.cat([network(as_maps(maps[rows[k : k + BATCH]])) for k in range(0, len(rows), BATCH)])
