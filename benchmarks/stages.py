"""What each stage of a job costs by itself."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.baseline import train_transform
from benchmarks.commands import Photos
from mpox.data.augment import fuse
from mpox.data.photos import open_photo
from mpox.data.store import square
from mpox.report.wandb import make_logger

REPEATS = 3


def measure(place: Path, photos: Photos, size: int, n: int) -> dict[str, Any]:
    """Time decoding, augmentation (here and photo by photo in torchvision), logging and start-up.

    `n` photos at the store's side `size`. Returns milliseconds a photo or call, seconds for start-up.
    """
    files = sorted(path for path in photos.root.glob("*/*") if path.is_file())[:n]
    pixels = np.stack([square(open_photo(path), size, "bicubic") for path in files])
    transform = train_transform(max(32, 32 * round(0.8 * size / 32)))
    fused = fuse(type(transform)(transform.transforms[1:]), size)
    assert fused is not None
    rows = np.arange(len(files))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    torchvision = type(transform)(transform.transforms[1:])
    return {
        "decode_ms": _each(lambda: [square(open_photo(path), size, "bicubic") for path in files], len(files)),
        "augment_ms": _each(lambda: fused.on_processor(pixels, rows, fused.draw(1, rows)), len(files)),
        "augment_torchvision_ms": _each(lambda: [torchvision(image) for image in images], len(files)),
        "log_ms": _log(place),
        **_start_up(),
    }


def _each(work: Callable[[], Any], n: int) -> float:
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return round(1000 * statistics.median(times) / n, 3)


def _log(place: Path) -> float:
    """One call of the default logger, W&B offline."""
    (place / "log").mkdir(parents=True, exist_ok=True)
    names: dict[str, Any] = {"study": "bench", "model": "none", "fold": 0, "project": "mpox", "entity": None}
    logger = make_logger(run_dir=str(place / "log"), mode="offline", **names)
    _ = logger.experiment  # starts W&B
    figure = _each(lambda: [logger.log_metrics({"loss": 0.1}, step) for step in range(100)], 100)
    logger.experiment.finish()
    return figure


def _start_up() -> dict[str, float]:
    """The first job's imports in a new process; composing a job's configuration once Hydra is warm."""
    program = (
        "import time; a = time.perf_counter(); import mpox.train; b = time.perf_counter()\n"
        "from hydra import compose, initialize_config_dir; from mpox.options import config_dir\n"
        "with initialize_config_dir(config_dir(), version_base='1.3'):\n"
        "    compose('train', ['fold=0']); c = time.perf_counter(); compose('train', ['fold=1'])\n"
        "print(b - a, time.perf_counter() - c)"
    )
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    imports, compose = map(float, printed.split()[-2:])
    return {"import_s": round(imports, 2), "compose_s": round(compose, 3)}
