"""How long a job trains, and which of its layers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from mpox.errors import UserError
from mpox.model.checkpoint import load_checkpoint
from mpox.training.job import train
from mpox.training.length import epochs_to_train


@pytest.mark.parametrize(
    ("steps_per_epoch", "floor", "ceiling", "epochs"),
    [
        (19, 100, 40, 10),
        (3, 100, 40, 34),
        (1, 100, 40, 40),
        (1, 100, None, 100),
        (1, None, 40, 10),
        (3, None, None, 10),
    ],
)
def test_steps_have_a_floor_and_epochs_a_ceiling(
    steps_per_epoch: int, floor: int | None, ceiling: int | None, epochs: int
) -> None:
    assert epochs_to_train({"epochs": 10, "min_steps": floor, "max_epochs": ceiling}, steps_per_epoch) == epochs


def test_a_ceiling_below_the_epochs_is_refused() -> None:
    with pytest.raises(UserError, match=r"max_epochs=5 is below schedule\.finetune\.epochs=10"):
        epochs_to_train({"epochs": 10, "min_steps": 100, "max_epochs": 5}, 3)


def test_a_small_set_trains_for_more_epochs(configured: Callable[..., DictConfig], tmp_path: Path) -> None:
    longer = ("schedule=finetune", "schedule.finetune.epochs=1", "schedule.finetune.min_steps=3")
    train(configured(*longer, "study=floor", "batch_size=8"))  # 8 training photos: one step an epoch
    train(configured("schedule=finetune", "schedule.finetune.epochs=3", "study=epochs", "batch_size=8"))
    states = [_state(tmp_path, study) for study in ("floor", "epochs")]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_from_scratch_every_layer_learns(configured: Callable[..., DictConfig], tmp_path: Path) -> None:
    for study, epochs in (("short", 1), ("long", 2)):
        length = [f"schedule.finetune.{name}={epochs}" for name in ("epochs", "min_steps", "max_epochs")]
        train(configured("schedule=scratch", *length, f"study={study}"))
    short, long = _state(tmp_path, "short"), _state(tmp_path, "long")
    same = [name for name, tensor in short.items() if tensor.is_floating_point() and torch.equal(tensor, long[name])]
    assert not same, same


def test_frozen_random_layers_are_reported(configured: Callable[..., DictConfig], tmp_path: Path) -> None:
    train(configured("schedule=probe", "study=frozen"))
    log = tmp_path / "runs" / "frozen" / "mobilenetv3_small_100" / "fold-0" / "train.log"
    assert "frozen layers stay random" in log.read_text() and "schedule=scratch" in log.read_text()


def _state(place: Path, study: str) -> dict[str, torch.Tensor]:
    run = place / "runs" / study / "mobilenetv3_small_100" / "fold-0"
    return load_checkpoint(run / "checkpoint.ckpt")[0].state_dict()
