"""A run opened again: its photos' classes are those it was trained on, whether its card says so or is older."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from mpox.runs.opened import open_run
from mpox.training.job import train


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_card_without_targets_opens_by_the_names_of_its_classes(
    task: str, configured: Callable[..., DictConfig], tmp_path: Path
) -> None:
    train(configured(f"task={task}", "task.positive=[MPOX]"))
    run = tmp_path / "runs" / "default" / "mobilenetv3_small_100" / "fold-0"
    now = open_run(run)
    content = torch.load(run / "checkpoint.ckpt", weights_only=True)
    content["format"] = 1
    del content["card"]["targets"]
    torch.save(content, run / "checkpoint.ckpt")
    before = open_run(run)
    assert before.card.targets is None and now.card.targets is not None
    assert before.photos["target"].tolist() == now.photos["target"].tolist()
    assert before.photos["target"].nunique() == len(now.card.classes)
