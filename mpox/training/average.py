"""Average the weights of a run in a few fused operations a step."""

import functools
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


def decay_at(step: int, decay: float) -> float:
    """Return the weight of the past at the update `step` (1 is the first after the start): min(decay, (1+t) / (10+t)).

    Without it the weights a run starts from keep decay ** steps of the average: 0.02 after 200 steps at 0.98, but 0.67
    after 20, which is all that 60 photos give in ten epochs.
    """
    return min(decay, (1 + step) / (10 + step))


def _interpolate(share: float, averages: list[Tensor], current: list[Tensor], _: Any) -> None:
    torch._foreach_lerp_(averages, current, share)


class MovingAverage(WeightAveraging):
    """Lightning's WeightAveraging with an exponential moving average that warms up, without the overhead of its steps.

    At each step Lightning's visits every tensor of the network in Python, frozen ones too, and reads the number of
    averages from the device, which makes a GPU wait. This class averages the trained tensors alone, from lists made
    once, by interpolation (which does not change constants). `decay` (0..1) is the weight of the past, reached as
    `decay_at` says.
    """

    def __init__(self, decay: float) -> None:
        # Not torch's function of the same arithmetic: it cannot be pickled for the processes of `trainer=ddp`.
        super().__init__(multi_avg_fn=functools.partial(_interpolate, 1 - decay))
        self.decay = decay
        self._pairs: tuple[list[Tensor], list[Tensor]] | None = None
        self._updates = 0

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Average once after each optimizer step."""
        if trainer.global_step <= self._latest_update_step:
            return
        average: Any = self._average_model
        if self._pairs is None:
            self._updates = int(average.n_averaged)  # read once: a resumed run goes on counting
            if self._updates == 0:
                super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
                return
            own = dict(average.module.named_parameters()) | dict(average.module.named_buffers())
            live = {name: p for name, p in pl_module.named_parameters() if p.requires_grad}
            live |= {name: buffer for name, buffer in pl_module.named_buffers() if buffer.is_floating_point()}
            self._pairs = [own[name].detach() for name in live], [tensor.detach() for tensor in live.values()]
        _interpolate(1 - decay_at(self._updates, self.decay), *self._pairs, None)
        self._updates += 1
        average.n_averaged += 1
        self._latest_update_step = trainer.global_step
