"""A job that was broken off goes on from the last epoch that is whole, and comes to the same."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig
from power_cut import power_cut

from mpox.model.archive import damage_of
from mpox.runs.run_state import can_resume, state_of
from mpox.training.job import train
from mpox.training.resume import BEFORE, KEPT, LAST, ResumeCheckpoints, epoch_to_resume

Configured = Callable[..., DictConfig]
OPTIONS = ("schedule=finetune", "schedule.finetune.epochs=4", "batch_size=8", "callbacks=early_stopping")


def run_of(runs: Path, study: str) -> Path:
    return runs / study / "mobilenetv3_small_100" / "fold-0"


@pytest.fixture(scope="module")
def cut(configured_in: Configured, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two studies: `whole`, and `broken` that lost its power in the fourth of four epochs."""
    runs = tmp_path_factory.mktemp("cut") / "runs"
    train(configured_in(runs, *OPTIONS, "study=whole"))
    with power_cut(epoch=3):
        train(configured_in(runs, *OPTIONS, "study=broken"))
    return runs


@pytest.fixture
def broken(cut: Path, tmp_path: Path) -> Path:
    """The run of `broken`, in a copy of both studies below the test's own folder."""
    return run_of(Path(shutil.copytree(cut, tmp_path / "runs")), "broken")


def same(runs: Path) -> bool:
    one, two = (pd.read_parquet(run_of(runs, study) / "predictions.parquet") for study in ("whole", "broken"))
    return bool(one.equals(two))


def harm(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    elif how == "flipped":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    else:
        path.write_bytes(content[: {"empty": 0, "cut": len(content) // 2}[how]])


@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "gone"])
def test_a_broken_last_epoch_falls_back_to_the_one_before(
    broken: Path, configured: Configured, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    assert {path.name for path in (broken / "resume").iterdir()} == {LAST, BEFORE, KEPT}
    harm(broken / "resume" / LAST, how)
    with caplog.at_level("INFO"):
        train(configured(*OPTIONS, "study=broken"))
    assert "resuming from the epoch before the last" in caplog.text
    assert (LAST in caplog.text) == (how != "gone")
    assert same(tmp_path / "runs")


@pytest.mark.parametrize("names", [(LAST, BEFORE), (KEPT,)], ids=["both", "kept"])
def test_without_a_whole_epoch_the_job_starts_again_and_says_so(
    broken: Path, configured: Configured, tmp_path: Path, caplog: pytest.LogCaptureFixture, names: tuple[str, ...]
) -> None:
    for name in names:
        harm(broken / "resume" / name, "cut")
    with caplog.at_level("INFO"):
        train(configured(*OPTIONS, "study=broken"))
    assert "starts from its beginning" in caplog.text and "resuming" not in caplog.text
    assert same(tmp_path / "runs")


def test_a_run_that_was_moved_resumes_with_the_best_epoch_it_knew(
    broken: Path, configured: Configured, tmp_path: Path
) -> None:
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    train(configured(*OPTIONS, "study=broken", f"runs_dir={tmp_path}/elsewhere"))
    assert "resuming" in (run_of(tmp_path / "elsewhere", "broken") / "train.log").read_text()
    assert same(tmp_path / "elsewhere")


def test_a_checkpoint_that_cannot_be_written_leaves_the_ones_before(
    broken: Path, configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in (broken / "resume").iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="No space"):
            train(configured(*OPTIONS, "study=broken"))
    assert {path.name: path.read_bytes() for path in (broken / "resume").iterdir()} == before
    assert state_of(broken) == "failed" and can_resume(broken)
    train(configured(*OPTIONS, "study=broken"))
    assert same(tmp_path / "runs")


def test_damage_of_a_checkpoint(broken: Path) -> None:
    path = broken / "resume" / LAST
    assert damage_of(path) == ""
    for how, words in (("flipped", "damaged"), ("cut", "cut"), ("empty", "empty"), ("gone", "missing")):
        other = broken / "resume" / "other.ckpt"
        shutil.copy(path, other)
        harm(other, how)
        assert words in damage_of(other)
    assert epoch_to_resume(broken / "none") is None


def test_a_job_comes_to_the_same_whether_or_not_its_study_was_prepared_by_it(
    configured: Configured, tmp_path: Path
) -> None:
    """The first job of a study searches for copies, with a network of its own; one that starts again does not."""
    place = run_of(tmp_path / "runs", "again")
    train(configured("study=again", "data_guard.search=full"))
    first = pd.read_parquet(place / "predictions.parquet")
    train(configured("study=again", "data_guard.search=full", "overwrite=true"))
    assert first.equals(pd.read_parquet(place / "predictions.parquet"))


def test_while_a_checkpoint_goes_to_the_disk_the_last_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing 24 MB may take a second, in which a job is as likely to be killed as in any other."""
    last: Path = tmp_path / LAST
    there: list[bool] = []
    ResumeCheckpoints().save_checkpoint({"epoch": 0}, last)
    write = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (there.append(last.exists()), write(descriptor)))
    ResumeCheckpoints().save_checkpoint({"epoch": 1}, last)
    assert there[0] and [torch.load(tmp_path / name)["epoch"] for name in (LAST, BEFORE)] == [1, 0]
