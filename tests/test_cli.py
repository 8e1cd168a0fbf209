"""The commands as typed: exit codes, tables, skipping, resuming after SIGKILL, failures in the middle of a sweep."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from mpox.files import read_json

ENVIRONMENT = {**os.environ, "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


ONE_EPOCH = ("schedule=finetune", "schedule.finetune.epochs=1")


def mpox(*arguments: str, module: str = "mpox.train", **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=1200, **options)  # type: ignore[call-overload,no-any-return]


def states(runs: Path, study: str = "default") -> dict[str, str]:
    found = sorted(runs.glob(f"{study}/*/fold-*/status.json"))
    return {f"{path.parents[1].name}/{path.parent.name}": read_json(path)["state"] for path in found}


def processor_seconds() -> float:
    """Of the commands that have ended: what a busy machine does not change much."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_sweep_isolates_a_failure_and_is_resumed(tiny: list[str], tmp_path: Path) -> None:
    """The headline command on two models and two folds; one job cannot write its directory, then can."""
    runs = tmp_path / "runs"
    options = [option for option in tiny if not option.startswith("model=")]
    sweep = ["-m", *options, *ONE_EPOCH, "model=glob(mobilenetv3_*)", "fold=range(2)"]
    blocker = runs / "default" / "mobilenetv3_large_100"
    blocker.mkdir(parents=True)
    (blocker / "fold-1").write_text("in the way")
    first = mpox(*sweep)
    assert first.returncode == 1, first.stderr
    assert "failed" in first.stdout
    assert first.stdout.count("done in") == 3
    (blocker / "fold-1").unlink()
    second = mpox(*sweep)
    assert second.returncode == 0, second.stderr
    assert (second.stdout.count("done in"), second.stdout.count("skipped in")) == (1, 3)
    assert states(runs) == {f"mobilenetv3_{size}_100/fold-{k}": "done" for size in ("small", "large") for k in (0, 1)}
    splits = {read_json(path)["splits_sha256"] for path in runs.glob("default/*/*/environment.json")}
    assert len(splits) == 1


def test_models_without_weights_are_named_before_anything_trains(tiny: list[str], tmp_path: Path) -> None:
    options = [option for option in tiny if not option.startswith(("model=", "weights="))]
    run = mpox("-m", *options, *ONE_EPOCH, "model=tf_efficientnet_lite0,vgg16", "fold=0")
    assert run.returncode == 1
    assert "1 of 2 models have no weights and are left out: vgg16" in " ".join(run.stderr.split())
    assert run.stderr.index("left out") < run.stderr.index("probe") if "probe" in run.stderr else True
    assert states(tmp_path / "runs") == {"tf_efficientnet_lite0/fold-0": "done"}
    assert not (tmp_path / "runs" / "default" / "vgg16").exists()


def test_bad_input_is_one_line_and_exit_1(tiny: list[str]) -> None:
    run = mpox(*tiny, "fold=7")
    assert run.returncode == 1
    assert run.stderr.strip() == "error: fold=7 does not exist: with n_folds=3 the folds are 0 to 2"
    assert "Traceback" not in run.stdout


def test_unknown_option_is_refused_by_hydra(tiny: list[str]) -> None:
    run = mpox(*tiny, "folds=3")
    assert run.returncode != 0
    assert "folds" in run.stderr


def test_doctor(tiny: list[str]) -> None:
    options = [option for option in tiny if not option.startswith("model=")]
    good = mpox(*options, module="mpox.doctor")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "24 photos, all readable" in good.stdout
    assert "torch 2.13" in good.stdout
    bad = mpox("weights=bundled", "data=folder", "data.root=/nowhere", "logger=none", module="mpox.doctor")
    assert bad.returncode == 1
    assert "data.root=/nowhere is not a folder" in bad.stdout
    assert "no weights for 23 models" in bad.stdout
    assert "mend:" in bad.stdout


def kill_when(arguments: list[str], ready: Path, delay: float) -> None:
    """Start a job, SIGKILL it `delay` seconds after `ready` exists."""
    job = subprocess.Popen(
        [sys.executable, "-m", "mpox.train", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not ready.exists():
        assert job.poll() is None, "the job ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(delay)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.7], ids=["between epochs", "mid-epoch"])
def test_killed_job_resumes_to_the_same_predictions(tmp_path: Path, delay: float) -> None:
    options = [
        *("image_size=96", "n_folds=5", "model=mobilenetv3_small_100", "weights=none", "schedule=finetune"),
        *("schedule.finetune.epochs=4", "batch_size=8", "logger=none", f"runs_dir={tmp_path}/runs", "trainer=cpu"),
        *("data.size=96", "dropout=0.1"),
    ]
    assert mpox(*options, "study=whole").returncode == 0
    run = tmp_path / "runs" / "killed" / "mobilenetv3_small_100" / "fold-0"
    kill_when([*options, "study=killed"], run / "resume" / "last.ckpt", delay)
    assert read_json(run / "status.json")["state"] == "running"
    assert mpox(*options, "study=killed").returncode == 0
    assert "resuming" in (run / "train.log").read_text()
    whole = pd.read_parquet(tmp_path / "runs" / "whole" / "mobilenetv3_small_100" / "fold-0" / "predictions.parquet")
    pd.testing.assert_frame_equal(whole, pd.read_parquet(run / "predictions.parquet"), check_exact=True)


@pytest.mark.slow
def test_several_devices_train_one_job(tiny: list[str], tmp_path: Path) -> None:
    """`trainer=ddp` on two processes of the processor: each takes its share, one result is written."""
    options = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "threads=1", *ONE_EPOCH]
    run = mpox(*(option for option in tiny if not option.startswith("trainer")), *options)
    assert run.returncode == 0, run.stderr
    assert states(tmp_path / "runs") == {"mobilenetv3_small_100/fold-0": "done"}


@pytest.mark.slow
def test_headline_command_trains_every_model_and_skips_what_is_done(tmp_path: Path) -> None:
    sweep = [
        *("-m", "model=glob(*)", "fold=range(2)", "weights=none", "schedule=finetune", "schedule.finetune.epochs=1"),
        *("image_size=96", "n_folds=3", "data.subjects_per_class=3", "data.photos_per_subject=2", "data.size=96"),
        *("logger=none", f"runs_dir={tmp_path}/runs", "batch_size=8"),
    ]
    first = mpox(*sweep)
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    finished = states(tmp_path / "runs")
    assert len(finished) == 52
    assert set(finished.values()) == {"done"}
    before = processor_seconds()
    second = mpox(*sweep)
    assert second.returncode == 0
    assert second.stdout.count("skipped in") == 52
    assert processor_seconds() - before < 60


@pytest.mark.slow
def test_wheel_works_in_another_directory(tmp_path: Path) -> None:
    """conf/ and sweeps/ travel inside the wheel; the installed copy, not the checkout, is what runs."""
    checkout = Path(__file__).parents[1]
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(checkout)]
    subprocess.run(build, check=True, timeout=300)
    target = tmp_path / "site"
    wheel = next(tmp_path.glob("mpox-*.whl"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, timeout=300)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import mpox; from mpox.config import config_dir;"
        "print(config_dir(), config_dir('sweeps')); from mpox.train import main; main()"
    )
    options = [
        *(
            "weights=none",
            "schedule=finetune",
            "schedule.finetune.epochs=1",
            "image_size=32",
            "n_folds=3",
            "data.size=32",
        ),
        *("data.subjects_per_class=3", "data.photos_per_subject=1", "logger=none", "model=mobilenetv3_small_100"),
    ]
    run = subprocess.run(
        [sys.executable, "-P", "-c", program, str(target), *options],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert f"{target}/mpox/conf {target}/mpox/sweeps" in run.stdout
    assert (tmp_path / "runs" / "default" / "mobilenetv3_small_100" / "fold-0" / "status.json").exists()
