"""One study by every launcher: are the predictions identical, and how long does it take? A Ray worker is killed."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from benchmarks.commands import Photos, predictions, run, start
from mpox.errors import UserError
from mpox.files import read_json

LAUNCHERS = {
    "serial": (),
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "ray": ("hydra/launcher=ray", "hydra.launcher.init.num_cpus=2"),
    "submitit_local": ("hydra/launcher=submitit_local",),
}
PATIENCE_S = 240.0


def measure(place: Path, photos: Photos, launchers: Sequence[str], options: Sequence[str]) -> dict[str, Any]:
    """Run the study of `options` (models, folds; two epochs or more) by each launcher, all on one thread a job.

    With Ray, the worker of the first job that has finished an epoch is killed by SIGKILL. Returns for each launcher
    seconds of wall time and whether all its predictions are those of the serial run, bit for bit.
    """
    found: dict[str, Any] = {}
    reference: pd.DataFrame | None = None
    stamp = time.time_ns()
    for name in launchers:
        runs = place / f"{name}-{stamp}"
        command = ["-m", *photos.options, f"runs_dir={runs}", "threads=1", *LAUNCHERS[name], *options]
        if name == "ray":
            seconds, killed = _with_a_kill(command, runs)
        else:
            seconds, killed = run("mpox.train", *command, threads=1).seconds, None
        table = predictions(runs / "default")
        reference = table if reference is None else reference
        found[name] = {"seconds": round(seconds, 1), "identical": table.equals(reference), "rows": len(table)}
        if killed:
            found[name]["killed"] = killed
    return found


def _with_a_kill(command: list[str], runs: Path) -> tuple[float, str]:
    """Run the command; kill the process of a job that is past its first epoch. Returns seconds and which job."""
    begin = time.perf_counter()
    process = start("mpox.train", *command, threads=1)
    killed = ""
    while process.poll() is None and not killed and time.perf_counter() - begin < PATIENCE_S:
        for checkpoint in runs.glob("default/*/*/resume/last.ckpt"):
            place = checkpoint.parents[1]
            status = read_json(place / "status.json")
            if status["state"] == "running" and status["pid"] != process.pid:
                psutil.Process(status["pid"]).send_signal(signal.SIGKILL)
                killed = f"{place.parent.name}/{place.name}"
                break
        time.sleep(0.02)
    printed, _ = process.communicate()
    if process.returncode != 0 or not killed:
        raise UserError(f"the study on Ray failed (killed: {killed or 'none'}): {' '.join(printed.split())[-600:]}")
    return time.perf_counter() - begin, killed
