"""The fused moving average against Lightning's own, in the real job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import DictConfig

from mpox.model.checkpoint import load_checkpoint
from mpox.training.average import MovingAverage
from mpox.training.job import train

LIGHTNINGS = (
    "+callbacks.other={_target_: lightning.pytorch.callbacks.WeightAveraging, "
    "multi_avg_fn: {_target_: torch.optim.swa_utils.get_ema_multi_avg_fn, decay: 0.15}}"
)


@pytest.mark.slow
def test_same_weights_as_lightnings_constant_decay(configured: Callable[..., DictConfig], tmp_path: Path) -> None:
    common = (
        "schedule=finetune",
        "schedule.finetune.epochs=3",
        "schedule.finetune.norms=train",
        "batch_size=4",
        "optimizer.lr=1e-2",
    )
    states = {}
    for study, options in (
        ("fused", ("callbacks.average.decay=0.15",)),
        ("lightning", ("~callbacks.average", LIGHTNINGS)),
        ("none", ("~callbacks.average",)),
    ):
        train(configured(*common, *options, f"study={study}"))
        run = tmp_path / "runs" / study / "mobilenetv3_small_100" / "fold-0"
        states[study] = load_checkpoint(run / "checkpoint.ckpt")[0].state_dict()
    changed = 0
    for name, tensor in states["lightning"].items():
        if tensor.is_floating_point():
            torch.testing.assert_close(states["fused"][name], tensor, rtol=1e-5, atol=1e-6)
            changed += not torch.allclose(states["none"][name], tensor, atol=1e-5)
    assert changed > 50


class Falling(L.LightningModule):
    """One weight that falls by 1 in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(100.0))

    def training_step(self, *_: Any) -> torch.Tensor:
        return self.weight * 1.0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(torch.zeros(20, 1), batch_size=1)


@pytest.mark.parametrize("steps", [5, 20, 120])
def test_a_short_run_forgets_its_start(steps: int, tmp_path: Path) -> None:
    """min(decay, (1 + t) / (10 + t)) by hand: after 20 steps a constant 0.98 would still hold 0.68 of the start."""
    module = Falling()
    L.Trainer(
        max_steps=steps, callbacks=[MovingAverage(0.98)], accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    ).fit(module)  # fmt: skip
    expected = 99.0
    for t in range(1, steps):
        decay = min(0.98, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * (99.0 - t)
    assert float(module.weight.detach()) == pytest.approx(expected, abs=1e-3)
    assert expected < 100 - steps / 2
