"""The LightningModule: loss, phases of transfer learning, parameter groups and the learning-rate curve."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics.classification import MulticlassAccuracy

from mpox.data.module import Batch, stream_seed
from mpox.errors import UserError
from mpox.model.backbone import PhotoClassifier, layer_depths
from mpox.model.trunk import Trunk

# The random stream of torch's generator (dropout, mixup), separate from those of the data.
STEP_STREAM = 3
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


class LesionClassifier(L.LightningModule):
    """Fine-tune a `PhotoClassifier`.

    Layers are selected by their relative depth d, 0 at the input and 1 at the head, which is comparable between
    networks of 14 and of 200 layers. Those with d < `frozen_depth` are frozen; the others learn at
    `lr * first_layer_rate ** (1 - d)`. With `norms="frozen"` normalisation layers keep their pretrained statistics,
    with `depthwise="frozen"` depthwise convolutions keep their kernels, which transfer between domains unchanged
    (Babaiee et al., "The Master Key Filters Hypothesis", AAAI 2025) and whose gradient is most of a CPU's work.
    """

    def __init__(
        self,
        network: PhotoClassifier,
        optimizer: Callable[..., Optimizer],
        *,
        epochs: int,
        warmup_epochs: float = 1.0,
        first_layer_rate: float = 0.1,
        frozen_depth: float = 0.0,
        norms: str = "frozen",
        depthwise: str = "train",
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
        mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (("norms", norms), ("depthwise", depthwise)):
            if value not in ("frozen", "train"):
                raise UserError(f"schedule.finetune.{name}={value} is unknown: choose frozen or train")
        self.network, self.optimizer_factory, self.mix, self.seed = network, optimizer, mix, seed
        self.epochs, self.warmup_epochs = epochs, warmup_epochs
        self.first_layer_rate, self.frozen_depth, self.norms = first_layer_rate, frozen_depth, norms
        self.label_smoothing = label_smoothing
        self.register_buffer("class_weights", class_weights, persistent=False)
        # Set where batches hold what the frozen layers give.
        self.trunk: Trunk | None = None
        n_classes = network.backbone.num_classes
        self.val_balanced_accuracy = MulticlassAccuracy(n_classes, average="macro")
        for name, depth in layer_depths(network).items():
            network.get_parameter(name).requires_grad_(depth >= frozen_depth)
        if depthwise == "frozen":
            for module in network.modules():
                if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
                    module.weight.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """images_NCHW uint8 or float32 0..255 to logits_NC."""
        return self.network(images)

    def on_train_epoch_start(self) -> None:
        """Set the configured mode of the norms; Lightning has just set all of them to training."""
        self.freeze_norms()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout and mixing from (seed, epoch, step, rank): a resumed job draws the same values."""
        torch.manual_seed(stream_seed(STEP_STREAM, self.seed, self.current_epoch, batch_idx, self.global_rank))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Cross-entropy with label smoothing and class weights; logs `train/loss` once an epoch."""
        targets = batch["target"]
        if self.mix is not None:
            images, targets = self.mix(batch["image"].float(), targets)
            batch = {"image": images}
        weights: Any = self.class_weights
        loss = F.cross_entropy(self._logits(batch), targets, weight=weights, label_smoothing=self.label_smoothing)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(targets))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log `val/nll` and `val/balanced_accuracy`."""
        logits = self._logits(batch).float()
        self.val_balanced_accuracy(logits, batch["target"])
        nll = F.cross_entropy(logits, batch["target"])
        self.log("val/nll", nll, on_epoch=True, batch_size=len(logits), sync_dist=True)
        self.log("val/balanced_accuracy", self.val_balanced_accuracy, on_epoch=True, prog_bar=True)

    def predict_step(self, batch: Batch, *_: int) -> Mapping[str, Tensor]:
        """Return row (of the manifest) and logits (float32) of each photo."""
        return {"row": batch["row"], "logits": self(batch["image"]).float()}

    def _logits(self, batch: Batch) -> Tensor:
        """Return logits_NC of a batch of images, or of what the frozen layers gave for them."""
        return self.trunk.logits(batch["maps"]) if self.trunk is not None and "maps" in batch else self(batch["image"])

    def configure_optimizers(self) -> Any:
        """One group a layer and kind of parameter; linear warm-up, then a cosine to zero, by step."""
        optimizer = self.optimizer_factory(self._parameter_groups())
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = steps * self.warmup_epochs / max(1, self.epochs)

        def rate(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1.0, steps - warmup))))

        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, rate), "interval": "step"}}

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Scale the optimizer's rate by depth; biases and norms (one-dimensional) get no weight decay."""
        base_rate = self.optimizer_factory([nn.Parameter(torch.zeros(1))]).defaults["lr"]
        groups: dict[tuple[float, bool], dict[str, Any]] = {}
        for name, depth in layer_depths(self.network).items():
            parameter = self.network.get_parameter(name)
            if not parameter.requires_grad:
                continue
            decays = parameter.ndim > 1
            rate = base_rate * self.first_layer_rate ** (1 - depth)
            group = groups.setdefault((depth, decays), {"params": [], "lr": rate})
            group["params"].append(parameter)
            if not decays:
                group["weight_decay"] = 0.0
        return list(groups.values())

    def freeze_norms(self) -> None:
        """Keep pretrained statistics: in all norms, or in those whose layer is frozen."""
        for module in self.network.modules():
            if not isinstance(module, NORMS):
                continue
            parameters = list(module.parameters(recurse=False))
            frozen = bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
            if self.norms == "frozen" or frozen:
                module.eval()
