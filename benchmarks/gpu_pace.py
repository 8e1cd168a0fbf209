"""How fast a device trains: against the bare loop, in each precision, several folds at once, and whole studies."""

import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.baseline import train_transform
from benchmarks.busy import Watch, gpu_busy
from benchmarks.gpu_job import MODELS, Job, network, photos, settle
from benchmarks.pace import Pace
from mpox.model.frozen import frozen_features
from mpox.model.probe import Problem, fit_heads

Figures = dict[str, Any]


def pace(
    model: str, precision: str, compiled: bool, photos_on: str, *, device: str, n: int, side: int, folder: Path
) -> Figures:
    """Fine-tune for two epochs: photos a second of the job and of the bare loop on the same batches (medians)."""
    pixels, targets = photos(folder, n, side)
    path = folder / "pace.json"
    job = Job(model, pixels, targets, device, precision=precision)
    with Watch(gpu_busy) as watch:
        job.fit(network(model, side), 2, callbacks=(Pace(str(path)),), compiled=compiled, photos_on=photos_on)
    rates = json.loads(path.read_text())["photos_per_second"]
    return {
        "photos_per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "of_bare": round(statistics.median(a / b for a, b in zip(rates["mpox"], rates["bare"], strict=True)), 3),
        "busy": watch.mean,
    }


def at_once(number: int, *, device: str, n: int, side: int, folder: Path, epochs: int = 2) -> Figures:
    """Train so many folds at once, a process each, on one device: photos a second of all together, without starts."""
    photos(folder, n, side)
    command = [sys.executable, "-m", "benchmarks.gpu_fold", device, str(n), str(side), str(epochs), str(folder)]
    with Watch(gpu_busy) as watch:
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(number)]
        printed = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        return {"failed": number}
    spans = [json.loads(text.splitlines()[-1]) for text in printed]
    together = max(span["end"] for span in spans) - min(span["start"] for span in spans)
    return {"photos_per_second": round(sum(span["photos"] for span in spans) / together, 1), "busy": watch.mean}


def studies(models: Sequence[str], folds: int, *, device: str, n: int, side: int, folder: Path) -> Figures:
    """Seconds of a probe study, and of one fold of the default study, against the usual script's.

    Probe study: `models` x `folds`, features once and the heads of all folds together; the script's fold is measured on
    one and multiplied. Default: ten epochs. The script decodes every JPEG in every epoch, in eight processes.
    """
    pixels, targets = photos(folder, n, side)
    began = time.perf_counter()
    for model in models:
        job = Job(model, pixels, targets, device)
        features = frozen_features(network(model, side), job.data().view(), 128, torch.device(device))
        fold = np.arange(n) % folds
        val = torch.from_numpy(np.stack([fold == k for k in range(folds)]))
        train = ~val & ~val.roll(1, 0)
        weights = torch.ones(folds, int(targets.max()) + 1)
        fit_heads(Problem(features, torch.from_numpy(targets), train, val, weights), job.cfg.schedule.probe.penalties)
    settle(device)
    probe, script = time.perf_counter() - began, _script(models[0], pixels, targets, device, frozen=True)
    began = time.perf_counter()
    epochs = int(job.cfg.schedule.finetune.epochs)
    Job(models[0], pixels, targets, device).fit(network(models[0], side), epochs)
    settle(device)
    fold_seconds = time.perf_counter() - began
    fold_script = _script(models[0], pixels, targets, device, frozen=False) * epochs
    return {
        "probe_study_seconds": round(probe, 2),
        "script_probe_study_seconds": round(5 * script * len(models) * folds, 1),
        "default_fold_seconds": round(fold_seconds, 2),
        "script_default_fold_seconds": round(fold_script, 1),
        "script_epochs_measured": 1,
    }


class _Jpegs(Dataset[tuple[torch.Tensor, int]]):
    """What the usual script reads: JPEG files, decoded and augmented one by one."""

    def __init__(self, pixels: np.ndarray, targets: np.ndarray, side: int) -> None:
        self.files = [_jpeg(one) for one in pixels]
        self.targets = targets
        self.transform = train_transform(side)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(io.BytesIO(self.files[item]))), int(self.targets[item])


def _jpeg(pixels: np.ndarray) -> bytes:
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        return file.getvalue()


def _script(model: str, pixels: np.ndarray, targets: np.ndarray, device: str, *, frozen: bool) -> float:
    """Return the seconds of one epoch of the usual script."""
    side = pixels.shape[1]
    net = network(model, side).to(device)
    if frozen:
        net.requires_grad_(False)
        net.head.requires_grad_(True)
    net.train(not frozen)
    optimizer = torch.optim.AdamW([parameter for parameter in net.parameters() if parameter.requires_grad], 1e-4)
    workers = 8 if device == "cuda" else 0
    loader: Any = DataLoader(_Jpegs(pixels, targets, side), 32, shuffle=True, num_workers=workers)
    began = time.perf_counter()
    for images, answers in loader:
        optimizer.zero_grad()
        F.cross_entropy(net(images.to(device)), answers.to(device)).backward()
        optimizer.step()
    settle(device)
    return time.perf_counter() - began


PACES = [
    (model, precision, compiled, place)
    for model in MODELS
    for precision, compiled, place in (
        ("32-true", False, "device"),
        ("bf16-mixed", False, "device"),
        ("bf16-mixed", False, "processor"),
        ("bf16-mixed", True, "device"),
    )
]
AT_ONCE = (1, 2, 4, 8)
