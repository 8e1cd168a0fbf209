"""A study on real clusters of several nodes, of which one is lost in the middle: the serial predictions come out."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import PATIENCE_S, Ray, Slurm, lacking_slurm, slurm

from benchmarks.commands import predictions
from mpox.files import read_json

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("MPOX_CLUSTERS" not in os.environ, reason="starts daemons: MPOX_CLUSTERS=1 asks for it"),
]
CHECKOUT = Path(__file__).parents[1]
EPOCHS = 12


@pytest.fixture
def cluster() -> Iterator[Slurm]:
    if why := lacking_slurm():
        pytest.skip(why)
    # A short path, for sockets.
    place = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    try:
        with slurm(place) as found:
            yield found
    finally:
        shutil.rmtree(place, ignore_errors=True)


def options(photos: Path, runs: Path, epochs: int = EPOCHS) -> list[str]:
    return [
        "-m", "model=mobilenetv3_small_100", "weights=none", "image_size=32", "batch_size=8", "n_folds=3",
        "fold=range(3)", "logger=none", "trainer=cpu", "threads=1", "data=folder", f"data.root={photos}",
        "data_guard.search=fast", "schedule=finetune", f"schedule.finetune.epochs={epochs}", f"runs_dir={runs}",
    ]  # fmt: skip


def started(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mpox.train", *arguments],
        cwd=CHECKOUT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "WANDB_MODE": "offline", **environment},
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate(timeout=900)
    assert process.returncode == 0 and "Traceback" not in printed, printed
    return printed


def working(runs: Path, process: subprocess.Popen[str], beside: int | None = None) -> tuple[Path, int]:
    """Wait for a job that has finished an epoch and goes on; return its run directory and its process."""
    end = time.monotonic() + 3 * PATIENCE_S
    while True:
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        for checkpoint in runs.glob("default/*/*/resume/last.ckpt"):
            status = read_json(checkpoint.parents[1] / "status.json")
            if status["state"] == "running" and status["pid"] not in (process.pid, beside):
                return checkpoint.parents[1], status["pid"]
        time.sleep(0.02)


@pytest.fixture
def serial(photos: Path, tmp_path: Path) -> Path:
    ended(started(options(photos, tmp_path / "serial")))
    return tmp_path / "serial"


def test_a_slurm_node_that_is_lost_costs_nothing(cluster: Slurm, photos: Path, tmp_path: Path, serial: Path) -> None:
    runs = tmp_path / "runs"
    launcher = ["hydra/launcher=submitit_slurm", "hydra.launcher.gpus_per_node=null", "hydra.launcher.cpus_per_task=1"]
    arguments = [*options(photos, runs), *launcher, "hydra.launcher.mem_gb=2"]
    process = started(arguments, **cluster.environment)
    place, pid = working(runs, process)
    node = cluster.lose_node_of(pid)
    printed = ended(process)
    assert cluster.says("sinfo", "-h", "-N", "-n", node, "-o", "%t").strip().startswith("down")
    assert "3 done" in printed and "failed" not in printed
    assert "resuming" in (place / "train.log").read_text()
    assert predictions(serial / "default").equals(predictions(runs / "default"))
    again = ended(started(arguments, **cluster.environment))  # typed again: nothing is submitted that is finished
    assert "3 done before" in again


@pytest.mark.timeout(900)
def test_a_job_that_reaches_slurms_time_limit_goes_on(cluster: Slurm, photos: Path, tmp_path: Path) -> None:
    epochs = 200  # more than fit into the minute that a job has
    launcher = ["hydra/launcher=submitit_slurm", "hydra.launcher.gpus_per_node=null", "hydra.launcher.cpus_per_task=1"]
    limits = ["hydra.launcher.mem_gb=2", "hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=10"]
    one = [*options(photos, tmp_path / "runs", epochs), "fold=0"]
    printed = ended(started([*one, *launcher, *limits, "hydra.launcher.max_num_timeout=20"], **cluster.environment))
    assert "1 done" in printed
    (log,) = (tmp_path / "runs").glob("default/*/fold-0/train.log")
    assert "resuming" in log.read_text()
    ended(started([*options(photos, tmp_path / "serial", epochs), "fold=0"]))
    assert predictions(tmp_path / "serial" / "default").equals(predictions(tmp_path / "runs" / "default"))


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="not installed: ray (pip install 'mpox[ray]')")
def test_a_ray_node_that_is_lost_costs_nothing(photos: Path, tmp_path: Path, serial: Path) -> None:
    runs, cluster = tmp_path / "runs", Ray()
    try:
        address = f"hydra.launcher.init.address='{cluster.address}'"
        of_job = ["hydra.launcher.remote.num_cpus=1", "hydra.launcher.remote.num_gpus=0"]
        arguments = [*options(photos, runs), "hydra/launcher=ray_cluster", address, *of_job]
        process = started(arguments, **cluster.environment)
        place, pid = working(runs, process)
        cluster.lose_node_of(pid)
        printed = ended(process)
        assert "3 done" in printed  # Ray itself says which task failed and is tried again
        assert "resuming" in (place / "train.log").read_text()
        assert predictions(serial / "default").equals(predictions(runs / "default"))
        assert "3 done before" in ended(started(arguments, **cluster.environment))
    finally:
        cluster.stop()
