"""What a job costs besides training, and whether a process that runs many of them grows."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.commands import fit_seconds, generated, start
from mpox.errors import UserError
from mpox.runs import journal

POLL_S = 0.01
# Jobs after which the process holds all it will ever hold: what the first ones load stays.
SETTLED = 5


def measure(place: Path, n: int, options: Sequence[str]) -> dict[str, Any]:
    """Run `n` small jobs in one process, W&B offline, then the same command again, which finds them finished.

    Returns, in seconds, the overhead a job (wall time from the first's end, less fitting, over jobs); resident memory
    (MB) after each job and its growth from job SETTLED to the last; and the seconds of a skipped job, in all and in the
    job itself (the rest is Hydra composing its configuration).
    """
    photos, folds = generated(place / "data", 10, 2, 48), 10
    runs = place / f"jobs-{time.time_ns()}"
    studies = ",".join(f"s{k}" for k in range(n // folds))
    command = [
        "-m", *photos.options, f"runs_dir={runs}", "weights=none", "image_size=32", "batch_size=8",
        "model=mobilenetv3_small_100", "schedule=probe_then_finetune", "schedule.finetune.epochs=1",
        f"study={studies}", f"fold=range({folds})", "n_folds=10", "threads=1", *options,
    ]  # fmt: skip
    ends, memory = _watched(command, runs)
    fitting = sum(fit for study in runs.glob("s*") for fit in fit_seconds(study))
    n = len(ends)
    again, _ = _watched(command, runs)
    inside = [entry.seconds for entry in journal.read(runs) if entry.state == "skipped"]
    return {
        "jobs": n,
        "overhead_s": round((ends[-1] - ends[0] - fitting * (n - 1) / n) / (n - 1), 3),
        "fit_s": round(fitting / n, 3),
        "memory_mb": [round(value, 1) for value in memory],
        "memory_growth": round(memory[-1] / memory[min(SETTLED, n) - 1] - 1, 4),
        "skip_s": round((again[-1] - again[0]) / (n - 1), 4),
        "skip_inside_s": round(sum(inside) / len(inside), 4),
    }


def _watched(command: Sequence[str], runs: Path) -> tuple[list[float], list[float]]:
    """Run the sweep; return when each of its jobs ended (s) and the resident memory (MB) then."""
    before = len(journal.read(runs))
    process = start("mpox.train", *command)
    printed: list[str] = []
    reader = threading.Thread(target=lambda: printed.append(process.stdout.read() if process.stdout else ""))
    reader.start()
    watched, ends, memory = psutil.Process(process.pid), list[float](), list[float]()
    size = journal.size(runs)
    while process.poll() is None:
        if journal.size(runs) != size:
            size = journal.size(runs)
            new = len(journal.read(runs)) - before - len(ends)
            ends += [time.perf_counter()] * new
            memory += [watched.memory_info().rss / 1e6] * new
        time.sleep(POLL_S)
    reader.join()
    if process.returncode != 0 or len(ends) < 2:
        raise UserError(f"the sweep of small jobs failed: {' '.join(printed[0].split())[-600:]}")
    return ends, memory
