"""What broke once heals: the command typed again comes to what an undisturbed one does; nothing finished is lost."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from omegaconf import DictConfig
from test_cli import mpox

from mpox.config import plain
from mpox.data.manifest import read_manifest
from mpox.errors import Stopped, UserError
from mpox.files import read_json, write_json
from mpox.runs import environment
from mpox.runs.preparation import look_for_added
from mpox.runs.run_state import state_of
from mpox.training.explain_hook import ExplainAtEnd
from mpox.training.job import train

Configured = Callable[..., DictConfig]
PROBE = ("schedule=probe",)


def run_of(tmp_path: Path, study: str = "default", fold: int = 0) -> Path:
    return tmp_path / "runs" / study / "mobilenetv3_small_100" / f"fold-{fold}"


def contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}


@pytest.fixture
def own(photos: Path, tmp_path: Path) -> Path:
    """The photos in a folder that a test may change."""
    return Path(shutil.copytree(photos, tmp_path / "own"))


def test_overwrite_keeps_the_finished_run_until_another_is_finished(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(configured(*PROBE))
    run = run_of(tmp_path)
    before = contents(run)
    with pytest.raises(UserError):
        train(configured(*PROBE, "overwrite=true", f"data.root={tmp_path}/typo"))
    assert contents(run) == before
    assert [path.name for path in run.parent.iterdir()] == ["fold-0"]
    with monkeypatch.context() as patch:
        patch.setattr("mpox.training.job.predict", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(configured(*PROBE, "overwrite=true", "seed=1"))
    assert contents(run) == before
    train(configured(*PROBE, "overwrite=true", "seed=1"))
    assert yaml.safe_load((run / "config.yaml").read_text())["seed"] == 1
    assert [path.name for path in run.parent.iterdir()] == ["fold-0"]


def test_photos_that_were_added_after_a_failure_are_used(configured: Configured, own: Path, tmp_path: Path) -> None:
    options = (*PROBE, f"data.root={own}")
    spare = [(photo, photo.read_bytes()) for photo in sorted(own.glob("acne/*"))[2:]]
    for photo, _ in spare:
        photo.unlink()
    with pytest.raises(UserError, match=r"3 folds need.*acne has 2"):
        train(configured(*options))
    for photo, content in spare:
        photo.write_bytes(content)
    train(configured(*options))
    assert len(read_manifest(tmp_path / "runs" / "default" / "manifest.parquet")) == 24


def test_a_study_begins_again_while_no_run_of_it_is_done(
    configured: Configured, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = (*PROBE, f"data.root={own}")
    with monkeypatch.context() as patch:
        patch.setattr("mpox.training.job.predict", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(configured(*options))
    study = tmp_path / "runs" / "default"
    victim = next(own.glob("acne/*"))
    victim.unlink()
    with caplog.at_level("WARNING"):
        train(configured(*options))
    assert "begins again" in caplog.text
    assert len(read_manifest(study / "manifest.parquet")) == 23
    shutil.copy(next(own.glob("acne/*")), victim)
    train(configured(*options, "fold=1"))  # a photo more is no change of those that a study was made of
    assert len(read_manifest(study / "manifest.parquet")) == 23


def test_photos_that_a_study_lacks_are_named_by_the_jobs_that_follow(
    configured: Configured, own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = (*PROBE, f"data.root={own}")
    train(configured(*options))
    assert "not in study" not in caplog.text
    shutil.copytree(own / "acne", own / "cowpox")
    train(configured(*options, "fold=1"))
    words = f"6 photos in {own} are not in study default and not used (6 cowpox; the study has no class cowpox"
    train(configured(*options, "fold=2"))
    assert caplog.text.count(words) == 1
    look_for_added(tmp_path / "runs" / "default", plain(configured(*options).data))  # as jobs that are done do
    assert caplog.text.count(words) == 1


@pytest.mark.slow
def test_a_sweep_that_is_done_names_photos_that_were_added(configured: Configured, own: Path, tiny: list[str]) -> None:
    options = (*PROBE, f"data.root={own}")
    for fold in (0, 1):
        train(configured(*options, f"fold={fold}"))
    shutil.copytree(own / "acne", own / "cowpox")
    run = mpox("-m", *tiny, *options, "fold=0,1")
    assert (run.returncode, run.stdout.count("skipped in")) == (0, 2), run.stderr
    assert run.stderr.count(f"6 photos in {own} are not in study default and not used (6 cowpox") == 1


def test_splits_that_a_person_wrote_are_not_made_again(configured: Configured, own: Path, tmp_path: Path) -> None:
    train(configured(*PROBE, f"data.root={own}", "study=first"))
    first, study = tmp_path / "runs" / "first", tmp_path / "runs" / "default"
    study.mkdir()
    splits = read_json(first / "splits.json")
    splits["folds"] = splits["folds"][1:] + splits["folds"][:1]
    write_json(study / "splits.json", splits)
    train(configured(*PROBE, f"data.root={own}"))
    assert read_json(study / "splits.json")["folds"] == splits["folds"]
    shutil.rmtree(run_of(tmp_path))
    next(own.glob("acne/*")).unlink()
    with pytest.raises(UserError, match=r"splits\.json names 1 photos the data set does not have"):
        train(configured(*PROBE, f"data.root={own}"))


def test_a_photo_replaced_by_another_of_its_size_stops_the_study_and_not_the_cache(
    configured: Configured, own: Path, tmp_path: Path
) -> None:
    options = (*PROBE, f"data.root={own}")
    train(configured(*options))
    one, other = sorted(own.glob("*/*.jpg"), key=os.path.getsize)[-2:]
    content = other.read_bytes()
    other.write_bytes(one.read_bytes().ljust(len(content), b"\0"))
    with pytest.raises(UserError, match=other.name):
        train(configured(*options, "fold=1", "image_size=64"))
    other.write_bytes(content)
    later = train(configured(*options, "study=later", "image_size=64"))
    shutil.rmtree(tmp_path / "runs" / ".cache")
    assert train(configured(*options, "study=clean", "image_size=64")) == later


@pytest.mark.parametrize("name", ["checkpoint.ckpt", "predictions.parquet"])
def test_a_done_job_that_lacks_a_result_is_done_again(
    configured: Configured, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    first = train(configured(*PROBE))
    run = run_of(tmp_path)
    predictions = pd.read_parquet(run / "predictions.parquet")
    (run / name).write_bytes((run / name).read_bytes()[:100])
    with caplog.at_level("WARNING"):
        assert train(configured(*PROBE)) == first
    assert f"{name} is cut" in caplog.text and "made again" in caplog.text
    pd.testing.assert_frame_equal(pd.read_parquet(run / "predictions.parquet"), predictions)


def test_a_run_is_not_done_until_its_hooks_are(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*PROBE, "callbacks=gradcam")
    with monkeypatch.context() as patch:
        patch.setattr(ExplainAtEnd, "on_run_finished", lambda *_: (_ for _ in ()).throw(Stopped(signal.SIGTERM)))
        with pytest.raises(Stopped):
            train(configured(*options))
    run = run_of(tmp_path)
    assert state_of(run) == "interrupted" and not (run / "explain").exists()
    train(configured(*options))
    assert state_of(run) == "done" and list((run / "explain").glob("*/index.parquet"))


@pytest.mark.parametrize(
    ("script", "warns"),
    [("sleep 9", "?"), ("echo 'fatal: detected dubious ownership' >&2; exit 128", "?"), ("exit 0", "")],
    ids=["slow", "dubious ownership", "sound"],
)
def test_git_costs_a_warning_and_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, script: str, warns: str
) -> None:
    git = tmp_path / "git"
    git.write_text(f'#!/bin/sh\nfor word in "$@"; do [ "$word" = status ] && {{ {script}; }}; done\necho 0123abc\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(environment, "GIT_TIMEOUT_S", 0.5)
    (tmp_path / "mpox" / ".git").mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "mpox" / "runs" / "environment.py"))
    environment.git_commit.cache_clear()
    with caplog.at_level("WARNING"):
        commit = environment.git_commit()
    environment.git_commit.cache_clear()
    assert commit == ("0123abc?" if warns else "0123abc")
    assert ("git does not give" in caplog.text) == bool(warns)


def test_a_logger_that_cannot_be_had_costs_a_warning(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wandb.init", lambda **_: (_ for _ in ()).throw(RuntimeError("no service")))
    with caplog.at_level("WARNING"):
        train(configured(*PROBE, "logger=wandb"))
    assert "no service" in caplog.text
    assert state_of(run_of(tmp_path)) == "done"
