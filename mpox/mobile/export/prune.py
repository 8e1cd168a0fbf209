"""Structured pruning: torch-pruning removes whole channels, then a short fine-tune towards the unpruned network.

A pruned network no longer has the architecture of its timm name, so it has no checkpoint: it is exported directly.
"""

import copy
import functools
import logging
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import lightning as L
import numpy as np
import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.nn import functional as F

from mpox.data.module import Batch, FoldData, Transform
from mpox.errors import UserError, reason_of
from mpox.mobile.file.network import StageHead
from mpox.model.backbone import PhotoClassifier
from mpox.model.classifier import LesionClassifier
from mpox.model.cost import Cost, cost_of
from mpox.model.stages import pooled_parts, replace_head
from mpox.runs.opened import OpenedRun, logits_of
from mpox.stats.metrics import classification_metrics

log = logging.getLogger("mpox")
# The number of kept channels is a multiple of this: the kernels of phones compute so many at once.
ROUND_TO = 8
# Training photos whose loss ranks the channels, and how many of them are run at once.
RANKING_PHOTOS, BATCH = 64, 16
# Least share of its parameters that a network must lose to count as pruned.
LEAST = 0.01


class NotPrunableError(UserError):
    """This network cannot be pruned; the message gives the reason."""


@dataclass(frozen=True)
class Tuning:
    """The fine-tune after pruning: AdamW at `rate` and `weight_decay`, an epoch of warm-up, then a cosine."""

    epochs: int = 10
    rate: float = 3e-4
    weight_decay: float = 0.05
    batch_size: int = 32


def prune_run(
    run: OpenedRun, ratio: float, *, tuning: Tuning, transform: Transform | None = None, seed: int = 0
) -> tuple[OpenedRun, dict[str, Any]]:
    """Return the run with its network pruned by `ratio` (0..1, share of each layer's channels) and fine-tuned.

    It learns from training photos only, augmented by `transform`. The report holds `ratio`, cost `before` and
    `after`, and by split (`val`, `test`) accuracy and balanced accuracy of the network unpruned, pruned, and tuned.
    Raises NotPrunableError for a network that cannot be pruned.
    """
    networks = {"unpruned": run.network}
    rows = run.rows("train")
    ranking_rows = np.random.default_rng(seed).permutation(rows)[:RANKING_PHOTOS]
    targets = torch.from_numpy(run.photos["target"].to_numpy("int64")[ranking_rows])
    pruned, before, after = prune(run.network, run.images(ranking_rows), targets, ratio)
    networks["pruned"] = copy.deepcopy(pruned)
    log.info(
        "pruned: %.2f to %.2f million parameters, %.0f to %.0f million multiply-adds",
        *(cost / 1e6 for cost in (before.parameters, after.parameters, before.macs, after.macs)),
    )
    networks["tuned"] = fine_tune(pruned, run, tuning, transform, seed)
    report: dict[str, Any] = {"ratio": ratio, "before": asdict(before), "after": asdict(after), **asdict(tuning)}
    for split in ("val", "test"):
        report[split] = {name: _figures(network, run, split) for name, network in networks.items()}
    return replace(run, network=networks["tuned"]), report


def prune(
    network: PhotoClassifier,
    images_NCHW: Tensor,
    targets_N: Tensor,
    ratio: float,
) -> tuple[PhotoClassifier, Cost, Cost]:
    """Return a pruned copy (eval mode) and the cost before and after; the classifier keeps all its outputs.

    Each layer loses the same share of its channels, those whose removal changes the loss of these photos (float32,
    0..255) least by a first-order estimate (Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR
    2019). Raises UserError for a ratio that is not between 0 and 1, NotPrunableError for a network torch-pruning cannot
    prune.
    """
    if not 0 < ratio < 1:
        raise UserError(f"prune.ratio={ratio} is no share of channels: give a number between 0 and 1, such as 0.3")
    pruned = copy.deepcopy(network).eval().requires_grad_(True)
    parted = None if pruned.stages is None else _Parted(pruned).requires_grad_(True)
    whole, heads = (pruned, [pruned.head]) if parted is None else (parted, [*parted.head.parts])
    side = images_NCHW.shape[-1]
    before = cost_of(pruned, side)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about parameters that belong to no layer, which it prunes correctly
            pruner = tp.pruner.BasePruner(
                whole,
                images_NCHW[:1],
                importance=tp.importance.GroupTaylorImportance(),
                pruning_ratio=ratio,
                round_to=ROUND_TO,
                ignored_layers=heads,
            )
        for images, targets in zip(images_NCHW.split(BATCH), targets_N.split(BATCH), strict=True):
            F.cross_entropy(whole(images), targets.to(images.device), reduction="sum").backward()
        pruner.step()
        if parted is not None:
            parted.join()
        pruned.zero_grad(set_to_none=True)
        after = cost_of(pruned, side)
    except Exception as error:  # torch-pruning fails in many ways on graphs it does not understand
        raise NotPrunableError(
            f"{_name(network)} cannot be pruned: torch-pruning fails on it ({reason_of(error)})"
        ) from error
    if after.parameters > (1 - LEAST) * before.parameters:
        raise NotPrunableError(
            f"{_name(network)} cannot be pruned: prune.ratio={ratio} leaves it {after.parameters} of "
            f"{before.parameters} parameters, since its layers depend on one another or are narrow; give a higher ratio"
        )
    _update_widths(pruned, images_NCHW[:1])
    return pruned, before, after


class _Parted(nn.Module):
    """A network whose head on the stages is a layer of each: torch-pruning loses count of features side by side."""

    def __init__(self, network: PhotoClassifier) -> None:
        super().__init__()
        self.network, self.head = network, StageHead(network)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        maps = self.network.maps(self.network.normalise(images_NCHW))
        return self.head(pooled_parts(self.network.backbone, maps))

    @torch.no_grad()
    def join(self) -> None:
        """Give the network one head again, of what is left of the parts."""
        layers: list[Any] = list(self.head.parts)
        weight = torch.cat([layer.weight for layer in layers], 1)
        replace_head(self.network.backbone, weight.shape[1], weight.shape[0])
        self.network.set_head(weight, layers[-1].bias)


class Distilled(LesionClassifier):
    """Fine-tune a network towards labels and, as much, towards the probabilities of another (Hinton et al. 2015)."""

    def __init__(self, network: PhotoClassifier, teacher: PhotoClassifier, *args: Any, **options: Any) -> None:
        super().__init__(network, *args, **options)
        self._teacher = [teacher.eval()]  # in a list, so that it is not registered and trained

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Half cross-entropy with class weights, half Kullback-Leibler divergence from the teacher's probabilities."""
        images, logits = batch["image"], self(batch["image"])
        with torch.no_grad():
            teacher_log_p = self._teacher[0](images).log_softmax(1)
        weights: Any = self.class_weights
        loss = F.cross_entropy(logits, batch["target"], weight=weights)
        return (loss + F.kl_div(logits.log_softmax(1), teacher_log_p, log_target=True, reduction="batchmean")) / 2


def fine_tune(
    pruned: PhotoClassifier, run: OpenedRun, tuning: Tuning, transform: Transform | None, seed: int
) -> PhotoClassifier:
    """Fine-tune all layers of `pruned`, normalisation statistics too, on the run's training photos; eval mode."""
    photos = run.photos
    targets = photos["target"].to_numpy("int64")
    roles = photos["role"].to_numpy(str)
    data = FoldData(run.pixels, targets, roles, batch_size=tuning.batch_size, transform=transform, seed=seed)
    counts = np.bincount(targets[data.rows("train")], minlength=len(run.card.classes)).clip(1)
    module = Distilled(
        pruned,
        copy.deepcopy(run.network),
        _optimizer(tuning),
        epochs=tuning.epochs,
        first_layer_rate=1.0,
        norms="train",
        class_weights=torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32),
        seed=seed,
    )
    trainer = L.Trainer(
        max_epochs=tuning.epochs,
        accelerator="gpu" if run.device.type == "cuda" else "cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(module.train(), data)
    return module.network.to(run.device).eval()


def _optimizer(tuning: Tuning) -> Callable[..., torch.optim.Optimizer]:
    return functools.partial(torch.optim.AdamW, lr=tuning.rate, weight_decay=tuning.weight_decay)


def _figures(network: PhotoClassifier, run: OpenedRun, split: str) -> dict[str, Any]:
    rows = run.rows(split)
    if not len(rows):
        return {}
    logits = torch.cat(
        [logits_of(network, run.images(part), BATCH) for part in np.array_split(rows, -(-len(rows) // 64))]
    )
    targets = torch.from_numpy(run.photos["target"].to_numpy("int64")[rows])
    figures = classification_metrics(logits, targets, run.card.classes, run.card.positive)
    return {name: figures[name] for name in ("accuracy", "balanced_accuracy") if name in figures}


@torch.no_grad()
def _update_widths(network: PhotoClassifier, images: Tensor) -> None:
    """Update the widths stored as numbers in timm's models and of the stages, which pruning leaves unchanged."""
    backbone, maps = network.backbone, network.maps(network.normalise(images))
    backbone.num_features = maps[-1].shape[1]
    if network.stages is not None:
        network.stages = replace(network.stages, widths=tuple(one.shape[1] for one in maps[:-1]))
    if hasattr(backbone, "head_hidden_size"):
        backbone.head_hidden_size = network.head.weight.shape[1]


def _name(network: PhotoClassifier) -> str:
    return str(network.backbone.pretrained_cfg.get("architecture", type(network.backbone).__name__))
