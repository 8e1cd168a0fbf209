"""A job that loses its power in the middle of fine-tuning."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from mpox.model.classifier import LesionClassifier


@contextlib.contextmanager
def power_cut(epoch: int, step: int = 0) -> Iterator[None]:
    """Expect the block's training to end with an error at a step (0-based) of an epoch."""
    real_step = LesionClassifier.training_step

    def broken(self: LesionClassifier, batch: dict[str, torch.Tensor], index: int) -> Any:
        if (self.current_epoch, index) == (epoch, step):
            raise OSError("power cut")
        return real_step(self, batch, index)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="power cut"):
        patch.setattr(LesionClassifier, "training_step", broken)
        yield
