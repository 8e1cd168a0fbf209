"""How many jobs at once on one device? The same study by Ray with 1, 2, 4 … at a time: how long, and how busy it is."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.busy import Watch, gpu_busy, processor_busy
from benchmarks.commands import Photos, predictions, run
from mpox.stats.predictions import PREFIX


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
