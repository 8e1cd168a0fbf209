"""The fused moving average against Lightning's own, in the real job."""

from collections.abc import Callable
from pathlib import Path

import torch
from omegaconf import DictConfig

from mpox.model.checkpoint import load_checkpoint
from mpox.training.job import train

LIGHTNINGS = (
    "+callbacks.other={_target_: lightning.pytorch.callbacks.WeightAveraging, "
    "multi_avg_fn: {_target_: torch.optim.swa_utils.get_ema_multi_avg_fn, decay: 0.8}}"
)


def test_same_weights_as_lightnings(configured: Callable[..., DictConfig], tmp_path: Path) -> None:
    common = (
        "schedule=finetune",
        "schedule.finetune.epochs=3",
        "schedule.finetune.norms=train",
        "batch_size=4",
        "optimizer.lr=1e-2",
    )
    states = {}
    for study, options in (
        ("fused", ("callbacks.average.decay=0.8",)),
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
