"""What a command imports: a package that it does not need is seconds of every start."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from generated_study import make_study
from omegaconf import DictConfig
from test_cli import ENVIRONMENT

from mpox.training.job import train

TRAINING = {"torch", "torchvision", "timm", "lightning", "torchmetrics", "wandb"}


def imported(tmp_path: Path, name: str, *arguments: str) -> set[str]:
    """Run `python -m mpox.<name>` and return the packages it imported."""
    program = (
        f"import sys, runpy; sys.argv = ['mpox.{name}', *{arguments!r}]\n"
        "try:\n    runpy.run_module(sys.argv[0], run_name='__main__')\n"
        "finally:\n    print('modules', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.rpartition("modules")[2].split())


def test_a_finished_job_is_only_read(configured: Callable[..., DictConfig], tiny: list[str], tmp_path: Path) -> None:
    typed = ["schedule=finetune", "schedule.finetune.epochs=1"]
    train(configured(*typed))
    assert imported(tmp_path, "train", *tiny, *typed) & {*TRAINING, "sklearn"} == set()


@pytest.mark.slow
def test_comparing_reads_files_alone(tmp_path: Path) -> None:
    make_study(tmp_path / "runs", "web", {"tf_efficientnet_lite0": 2.0, "mobilenetv3_small_100": 1.0}, n_folds=3)
    typed = ("compare", "study=web", "logger.mode=disabled", "resamples=100")
    imported(tmp_path, *typed)  # counts what the models cost, which is kept
    assert imported(tmp_path, *typed) & {*TRAINING, "scikit_posthocs"} == set()


@pytest.mark.slow
def test_checking_the_installation_starts_no_training(tiny: list[str], tmp_path: Path) -> None:
    assert imported(tmp_path, "doctor", *tiny) & {"lightning", "torchmetrics", "sklearn"} == set()
