"""Launchers and search by the real command: same predictions, same resume, table and exit code across processes."""

import importlib.util
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from benchmarks.commands import Photos, predictions
from benchmarks.launchers import measure
from mpox.files import read_json

ENVIRONMENT = {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
CHECKOUT = Path(__file__).parents[1]


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def mpox(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mpox.train", *arguments]
    environment = {**ENVIRONMENT, **more}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, cwd=CHECKOUT)


@pytest.mark.slow
def test_joblib_finishes_what_a_serial_sweep_left_and_reports(tiny: list[str], tmp_path: Path) -> None:
    options = [*tiny, "schedule=probe", "threads=1"]
    runs = f"runs_dir={tmp_path}/serial"
    assert mpox("-m", *options, runs, "fold=range(3)").returncode == 0
    assert mpox(*options, "fold=0").returncode == 0
    spread = mpox("-m", *options, "fold=0,1,2,7", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert spread.returncode == 1  # fold 7 does not exist
    assert "skipped" in spread.stdout and "fold 7: fold=7 does not exist" in spread.stdout
    serial, other = (predictions(tmp_path / place / "default") for place in ("serial", "runs"))
    assert serial.equals(other)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_killed_worker_costs_its_job_and_not_the_sweep(tiny: list[str], tmp_path: Path, launcher: str) -> None:
    if launcher == "submitit_local":
        pytest.importorskip("submitit")
    options = [*tiny, "schedule=finetune", "schedule.finetune.epochs=30", "threads=1"]
    sweep = ["-m", *options, "fold=0,1,2", f"hydra/launcher={launcher}"]
    sweep += ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    victim = tmp_path / "runs" / "default" / "mobilenetv3_small_100" / "fold-0"
    command = [sys.executable, "-m", "mpox.train", *sweep]
    running = subprocess.Popen(
        command, text=True, env=ENVIRONMENT, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not (victim / "resume" / "last.ckpt").exists():
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    os.kill(read_json(victim / "status.json")["pid"], signal.SIGKILL)
    out, err = running.communicate(timeout=600)
    assert running.returncode == 1 and "Traceback" not in out + err
    assert "fold 0: worker lost" in out and "2 done" in out and "1 failed" in out
    journal = [json.loads(line) for line in (tmp_path / "runs" / "journal.jsonl").read_text().splitlines()]
    assert sorted((entry["fold"], entry["state"]) for entry in journal) == [(0, "failed"), (1, "done"), (2, "done")]
    again = mpox(*sweep)
    assert again.returncode == 0, again.stderr
    assert mpox("-m", *options, "fold=0,1,2", f"runs_dir={tmp_path}/serial").returncode == 0
    serial, other = (predictions(tmp_path / place / "default") for place in ("serial", "runs"))
    assert serial.equals(other)


@pytest.mark.slow
@needs("ray", "submitit")
def test_a_killed_ray_worker_changes_nothing(tmp_path: Path, photos: Path) -> None:
    options = [
        *("model=mobilenetv3_small_100", "weights=none", "image_size=32", "batch_size=4", "n_folds=3", "fold=range(2)"),
        *("schedule=finetune", "schedule.finetune.epochs=8", "logger=none"),
    ]
    found = measure(tmp_path, Photos(photos), ["serial", "ray", "submitit_local"], options)
    assert all(one["identical"] for one in found.values())
    assert found["ray"]["killed"]


@pytest.mark.slow
@needs("optuna")
def test_search_is_resumed_and_sees_validation_figures_only(tiny: list[str], tmp_path: Path) -> None:
    search = [
        *("-m", *tiny, "schedule=probe", "study=search", "hydra/sweeper=optuna", "hydra.sweeper.folds='range(2)'"),
        *("hydra.sweeper.startup_trials=1", "balance=choice(none, class_weights)", "dropout=interval(0.0, 0.5)"),
    ]
    assert mpox(*search, "hydra.sweeper.n_trials=1").returncode == 0
    again = mpox(*search, "hydra.sweeper.n_trials=2")
    assert again.returncode == 0, again.stderr
    assert "best of 2 trials" in again.stdout
    study = tmp_path / "runs" / "search"
    means = [
        sum(read_json(run / f"fold-{k}" / "metrics.json")["val"]["balanced_accuracy"] for k in (0, 1)) / 2
        for run in study.glob("trial-*")
        if (run / "fold-1" / "metrics.json").exists()
    ]
    best = yaml.safe_load((study / "best.yaml").read_text())
    assert best["value"] == pytest.approx(max(means))
    with sqlite3.connect(study / "trials.db") as trials:
        assert trials.execute("select count(*) from trials").fetchone() == (2,)


@pytest.mark.slow
def test_a_trial_of_wandb_logs_the_mean_over_folds(tiny: list[str], tmp_path: Path) -> None:
    options = [option for option in tiny if not option.startswith(("model=", "logger="))]
    trial = mpox(
        *("--config-dir", "sweeps", "--config-name", "trial", *options, "schedule=probe", "n_folds=3"),
        *("model=mobilenetv3_small_100", "model.name=trial-abc", "optimizer.lr=0.001"),
        WANDB_RUN_ID="abc",
    )
    assert trial.returncode == 0, trial.stderr
    runs = tmp_path / "runs"
    assert len(list(runs.glob("wandb_bayes/trial-abc/fold-*/metrics.json"))) == 3
    assert list(runs.glob("wandb/offline-run-*-abc"))
