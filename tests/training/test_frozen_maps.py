"""Fine-tuning from what the frozen layers give: the same weights, computed once for all folds, and never in the way."""

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig

from mpox.data.array_file import ArrayWriter
from mpox.errors import UserError
from mpox.training.frozen_maps import NAME, make_room
from mpox.training.job import train

Configured = Callable[..., DictConfig]
SCHEDULE = ("schedule=probe_then_finetune", "schedule.finetune.epochs=2", "optimizer.lr=1e-3")


def logits(runs: Path, study: str, fold: int = 0) -> np.ndarray:
    (path,) = (runs / study).glob(f"*/fold-{fold}/predictions.parquet")
    table = pd.read_parquet(path)
    return table[[name for name in table if str(name).startswith("logit_")]].to_numpy()


def test_folds_share_them_and_the_weights_are_the_same_to_the_last_bit(configured: Configured, tmp_path: Path) -> None:
    runs, cache = tmp_path / "runs", tmp_path / "runs" / ".cache"
    for fold in (0, 1):
        train(configured(*SCHEDULE, "study=photos", "frozen_maps=off", f"fold={fold}"))
    assert not list(cache.glob(f"{NAME}*"))
    train(configured(*SCHEDULE, "study=maps"))
    made = {path: path.stat().st_mtime_ns for path in cache.glob(f"{NAME}*.npy")}
    assert len(made) == 3  # the photos as they are, and two epochs
    train(configured(*SCHEDULE, "study=maps", "fold=1"))
    assert {path: path.stat().st_mtime_ns for path in cache.glob(f"{NAME}*.npy")} == made
    for fold in (0, 1):
        assert np.array_equal(logits(runs, "maps", fold), logits(runs, "photos", fold))
    train(configured(*SCHEDULE, "study=half", "frozen_maps=half"))
    assert np.abs(logits(runs, "half") - logits(runs, "photos")).max() < 0.05
    assert not np.array_equal(logits(runs, "half"), logits(runs, "photos"))


@pytest.mark.slow
def test_other_augmentation_seeds_and_weights_have_their_own(configured: Configured, tmp_path: Path) -> None:
    cache = tmp_path / "runs" / ".cache"
    seen: set[Path] = set()
    for k, (change, new) in enumerate(
        [((), 2), (("seed=1",), 2), (("augment=none",), 1), (("+model.mean=[0,0,0]",), 2)]
    ):
        train(configured(*SCHEDULE, "schedule.finetune.epochs=1", f"study=s{k}", *change))
        now = set(cache.glob(f"{NAME}*.npy"))
        assert len(now - seen) == new
        seen |= now


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("cache_gb=0.00001",), "cache_gb"),
        (("augment=mixup",), "mixes photos"),
        (("schedule.finetune.frozen_depth=0", "schedule.finetune.norms=train"), "no layer"),
        (("schedule.finetune.norms=train",), None),  # those of the frozen layers keep their statistics
    ],
)
def test_the_log_says_why_the_photos_are_used(
    configured: Configured, tmp_path: Path, options: tuple[str, ...], why: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mpox")
    train(configured(*SCHEDULE, "schedule.finetune.epochs=1", *options))
    lines = [record.message for record in caplog.records if "run again" in record.message]
    assert len(lines) == (why is not None) and all(why in line for line in lines if why)


def test_an_unknown_kind_is_one_line(configured: Configured) -> None:
    with pytest.raises(UserError, match="frozen_maps=often is unknown: choose exact, half or off"):
        train(configured(*SCHEDULE, "frozen_maps=often"))


def test_a_full_disk_costs_time_alone(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    train(configured(*SCHEDULE, "study=photos", "frozen_maps=off"))
    usual, written = ArrayWriter.append, 0

    def full(self: ArrayWriter, row: np.ndarray) -> None:
        nonlocal written
        written += 1
        if written > 20:  # in the middle of the first file
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        usual(self, row)

    monkeypatch.setattr(ArrayWriter, "append", full)
    train(configured(*SCHEDULE, "study=maps"))
    assert "No space left on device" in caplog.text
    runs = tmp_path / "runs"
    assert np.array_equal(logits(runs, "maps"), logits(runs, "photos"))
    assert not list((runs / ".cache").glob(f"*{NAME}*"))


@pytest.mark.slow
def test_a_damaged_file_is_made_again(configured: Configured, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    train(configured(*SCHEDULE, "study=one"))
    for path in (runs / ".cache").glob(f"{NAME}*.npy"):
        content = bytearray(path.read_bytes())
        content[-5] ^= 0xFF
        path.write_bytes(content)
    train(configured(*SCHEDULE, "study=two"))
    assert np.array_equal(logits(runs, "one"), logits(runs, "two"))


def test_maps_that_were_used_longest_ago_make_room(tmp_path: Path) -> None:
    for k, key in enumerate(["old", "own", "new"]):
        path = tmp_path / f"{NAME}{key}-0.npy"
        path.write_bytes(bytes(100))
        path.with_suffix(".sha256").write_text("")
        os.utime(path.with_suffix(".sha256"), (k, k))
    make_room(tmp_path, "own", 250)
    assert {path.name for path in tmp_path.glob("*.npy")} == {f"{NAME}own-0.npy", f"{NAME}new-0.npy"}
    make_room(tmp_path, "own", 0)  # one's own stay
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".npy"] == [f"{NAME}own-0.npy"]
