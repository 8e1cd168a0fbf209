"""How many jobs at once on one device? The same study by Ray with 1, 2, 4 … at a time: how long, and how busy it is."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.commands import Photos, predictions, run
from mpox.stats.predictions import PREFIX

# How often it is asked how busy the device is.
EVERY_S = 1.0


def measure(
    place: Path, photos: Photos, at_once: Sequence[int], models: Sequence[str], folds: int, options: Sequence[str]
) -> dict[str, Any]:
    """Run the study of `models` x `folds` with each number of jobs at once; they share the GPU where there is one.

    Pixels and frozen features are made before, so that the first number does not pay for the others. Returns for each
    number seconds of wall time, mean busy share of the device (0..1; None where it cannot be asked), the largest
    difference of any logit from the first number's, and whether all answers are the same. Needs the extra `ray`.
    """
    stamp, gpu = time.time_ns(), torch.cuda.is_available()
    command = ["-m", *photos.options, f"model={','.join(models)}", "threads=1"]
    command += [f"cache_dir={place / 'packed-cache'}", *options]
    run("mpox.train", *command, f"runs_dir={place / f'packed-{stamp}-before'}", "fold=0", threads=1)
    found: dict[str, Any] = {}
    reference: Any = None
    for number in at_once:
        runs = place / f"packed-{stamp}-{number}"
        ray = ["hydra/launcher=ray", f"hydra.launcher.init.num_cpus={number}"]
        ray += [f"hydra.launcher.remote.num_gpus={1 / number}"] if gpu else []
        with Watch(gpu_busy if gpu else processor_busy) as watch:
            ran = run("mpox.train", *command, f"runs_dir={runs}", f"fold=range({folds})", *ray, threads=1)
        logits = predictions(runs / "default").filter(like=PREFIX).to_numpy()
        reference = logits if reference is None else reference
        found[str(number)] = {
            "seconds": round(ran.seconds, 1),
            "busy": watch.mean,
            "largest_difference": float(abs(logits - reference).max()),
            "same_answers": bool((logits.argmax(1) == reference.argmax(1)).all()),
        }
    device = torch.cuda.get_device_name() if gpu else "processor"
    return {"device": device, "jobs": len(models) * folds, "at_once": found}


class Watch:
    """Ask something every second while the block runs; `mean` is the mean of the answers, None where none came."""

    def __init__(self, ask: Callable[[], float | None]) -> None:
        self._ask, self._over = ask, threading.Event()
        self._answers: list[float] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            if (answer := self._ask()) is not None:
                self._answers.append(answer)

    def __enter__(self) -> "Watch":
        self._ask()  # what is "since the last call" starts here
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def mean(self) -> float | None:
        """Mean answer, rounded to a hundredth."""
        return round(sum(self._answers) / len(self._answers), 2) if self._answers else None


def processor_busy() -> float | None:
    """Busy share (0..1) of all cores since the last call."""
    return psutil.cpu_percent() / 100


def gpu_busy() -> float | None:
    """Busy share (0..1) of the first GPU by `nvidia-smi`, None where that is not there."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    return float(answer[0]) / 100 if answer and answer[0].isdigit() else None
