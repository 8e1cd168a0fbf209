"""`threads=auto` and `trainer.precision=auto`: measured once for all folds, recorded, and never of another machine."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from mpox.runs import processor
from mpox.training.job import train
from mpox.training.pace import REDUCED, fewest

Configured = Callable[..., DictConfig]
SCHEDULE = ("schedule=probe_then_finetune", "schedule.finetune.epochs=2", "optimizer.lr=1e-3")
AUTO = ("threads=auto", "trainer.precision=auto")


@pytest.fixture(autouse=True)
def threads_as_before() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def recorded(runs: Path, fold: int = 0) -> dict[str, Any]:
    (path,) = runs.glob(f"*/*/fold-{fold}/environment.json")
    found: dict[str, Any] = json.loads(path.read_text())["pace"]
    return found


def logits(runs: Path, study: str) -> np.ndarray:
    (path,) = (runs / study).glob("*/fold-0/predictions.parquet")
    table = pd.read_parquet(path)
    return table[[name for name in table if str(name).startswith("logit_")]].to_numpy()


@pytest.mark.slow
def test_all_folds_train_as_the_first_one_measured(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mpox")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)  # what is tried does not depend on this machine
    runs = tmp_path / "runs"
    for fold in (0, 1):
        train(configured(*SCHEDULE, *AUTO, "study=s", f"fold={fold}"))
    found = recorded(runs)
    assert {"1 thread 32-true", "2 threads 32-true", "4 threads 32-true"} <= found["seconds"].keys()
    assert found["threads"] in (1, 2, 4) and all(seconds > 0 for seconds in found["seconds"].values())
    assert recorded(runs, 1) == found  # read, not measured again: no two measurements are equal
    assert f"threads={found['threads']}, trainer.precision={found['precision']}" in caplog.text


def test_a_probe_alone_has_no_step_to_measure(configured: Configured, tmp_path: Path) -> None:
    train(configured("schedule=probe", *AUTO))
    assert recorded(tmp_path / "runs") == {"threads": None, "precision": "32-true", "seconds": {}}


def test_a_processor_without_bfloat16_is_not_tried_with_it(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name : Some processor\nflags : fpu avx2 avx_vnni\n")
    monkeypatch.setattr(processor, "CPUINFO", cpuinfo)
    processor._found.cache_clear()
    try:
        train(configured(*SCHEDULE, *AUTO))
    finally:
        processor._found.cache_clear()
    found = recorded(tmp_path / "runs")
    assert found["precision"] == "32-true" and not [one for one in found["seconds"] if REDUCED in one]


@pytest.mark.slow
def test_measuring_changes_no_weight(configured: Configured, tmp_path: Path) -> None:
    train(configured(*SCHEDULE, "study=plain", "threads=1"))
    train(configured(*SCHEDULE, "study=auto", "threads=auto"))
    assert np.allclose(logits(tmp_path / "runs", "auto"), logits(tmp_path / "runs", "plain"), atol=1e-4)


@pytest.mark.slow
def test_frozen_layers_run_once_give_the_same_in_bfloat16(configured: Configured, tmp_path: Path) -> None:
    options = (*SCHEDULE, "trainer.precision=bf16-mixed")
    train(configured(*options, "study=photos", "frozen_maps=off"))
    train(configured(*options, "study=maps"))
    train(configured(*SCHEDULE, "study=full"))
    runs = tmp_path / "runs"
    assert np.array_equal(logits(runs, "photos"), logits(runs, "maps"))
    assert not np.array_equal(logits(runs, "full"), logits(runs, "maps"))
    assert len(list((runs / ".cache").glob("frozen-maps-*.npy"))) == 6  # three views in either precision


@pytest.mark.parametrize(
    ("seconds", "number"), [({1: 1.0, 2: 0.95, 4: 0.93}, 1), ({1: 1.0, 2: 0.6, 4: 0.58}, 2), ({1: 1.0, 2: 1.5}, 1)]
)
def test_more_threads_are_taken_where_they_help(seconds: dict[int, float], number: int) -> None:
    assert fewest(seconds) == number
