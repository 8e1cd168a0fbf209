"""Whether every step of the work gives on a device what it gives on the processor. Each check returns its figures."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_job import MODELS, Job, StopAfterFirst, logits, network, photos, settle
from mpox.mobile.file.network import PhoneNetwork
from mpox.model.frozen import frozen_features
from mpox.model.probe import Problem, fit_heads

# Largest difference that counts as rounding, as a share of the spread (sd) of what is compared.
FLOAT32 = 0.01
# bfloat16 keeps eight bits: share of answers that must stay, and mean difference of probabilities.
SAME_ANSWERS, BFLOAT16 = 0.95, 0.02
# Trainings round each step, and their paths part: of the networks' probabilities, in the mean.
TRAINED = 0.05

Figures = dict[str, Any]


def outputs(pixels: np.ndarray, targets: np.ndarray, device: str) -> Figures:
    """Logits of each model on the device, in float32 and bfloat16, and its maps."""
    found: Figures = {}
    for model in MODELS:
        net = network(model, pixels.shape[1])
        own = logits(net, pixels, "cpu")
        there = logits(net, pixels, device)
        half = logits(net, pixels, device, torch.bfloat16)
        images = torch.from_numpy(np.array(pixels[:8])).permute(0, 3, 1, 2).float()
        phone = PhoneNetwork(net.cpu(), image_size=pixels.shape[1], maps=True).eval()
        with torch.no_grad():
            maps = phone(images)[1]
            maps_there = phone.to(device)(images.to(device))[1].cpu()
        found[model] = {
            "float32": _apart(there, own),
            "bfloat16": float((half.softmax(1) - own.softmax(1)).abs().mean()),
            "bfloat16_same_answers": float((half.argmax(1) == own.argmax(1)).float().mean()),
            "maps": _apart(maps_there, maps),
        }
    worst = {name: max(one[name] for one in found.values()) for name in ("float32", "bfloat16", "maps")}
    same = min(one["bfloat16_same_answers"] for one in found.values())
    good = worst["float32"] < FLOAT32 > worst["maps"] and worst["bfloat16"] < BFLOAT16 and same >= SAME_ANSWERS
    return {"good": good, "models": found}


def augmentation(pixels: np.ndarray, targets: np.ndarray, device: str) -> Figures:
    """The same photos of an epoch, augmented on the device and on the processor: difference in levels (0..255)."""
    data = Job(MODELS[0], pixels, targets, device).data()
    drawn = next(iter(data.train_dataloader()))

    def augmented(place: str) -> torch.Tensor:
        batch = {name: value.to(place) for name, value in drawn.items()}
        return data.on_after_batch_transfer(batch, 0)["image"].float().cpu()

    apart = (augmented(device) - augmented("cpu")).abs()
    return {"good": float(apart.mean()) < 1.0, "mean_levels": float(apart.mean()), "largest_levels": float(apart.max())}


def probe(pixels: np.ndarray, targets: np.ndarray, device: str) -> Figures:
    """Heads of four folds on features of the device, against those on features of the processor."""
    job = Job(MODELS[0], pixels, targets, device)
    net, view = network(MODELS[0], pixels.shape[1]), job.data().view()
    fold = np.arange(len(targets)) % 4
    parts = torch.from_numpy(np.stack([fold == k for k in range(4)]))
    problem: dict[str, Any] = {
        "targets": torch.from_numpy(targets),
        "val": parts,
        "train": ~parts,
        "class_weights": torch.ones(4, 4),
    }
    own, there = (frozen_features(net, view, 64, torch.device(place)) for place in ("cpu", device))
    answers = [
        torch.stack([features @ head.weight.T + head.bias for head in fit_heads(Problem(features, **problem), [0.01])])
        for features in (own, there)
    ]
    return {
        "good": _apart(there, own) < FLOAT32 > _apart(*answers),
        "features": _apart(there, own),
        "logits": _apart(*answers),
    }


def training(pixels: np.ndarray, targets: np.ndarray, device: str) -> Figures:
    """Two epochs on the device and on the processor, and on the device broken off after the first and resumed."""
    side = pixels.shape[1]
    here = logits(Job(MODELS[0], pixels, targets, "cpu").fit(network(MODELS[0], side), 2), pixels, "cpu")
    job = Job(MODELS[0], pixels, targets, device)
    straight = logits(job.fit(network(MODELS[0], side), 2), pixels, device)
    with tempfile.TemporaryDirectory() as place:
        job.fit(network(MODELS[0], side), 2, place=Path(place), callbacks=(StopAfterFirst(),))
        (kept,) = Path(place).glob("last*.ckpt")
        resumed = logits(job.fit(network(MODELS[0], side), 2, resume=kept), pixels, device)
    half = Job(MODELS[0], pixels, targets, device, precision="bf16-mixed")
    mixed = logits(half.fit(network(MODELS[0], side), 2), pixels, device)
    chances = {name: float((one.softmax(1) - straight.softmax(1)).abs().mean()) for name, one in
               (("processor", here), ("resumed", resumed), ("bfloat16", mixed))}  # fmt: skip
    return {
        "good": max(chances.values()) < TRAINED and chances["resumed"] == 0,
        "mean_difference_of_probabilities": chances,
    }


CHECKS: dict[str, Callable[[np.ndarray, np.ndarray, str], Figures]] = {
    "outputs": outputs,
    "augmentation": augmentation,
    "probe": probe,
    "training": training,
}


def run(device: str, n: int, side: int, folder: Path, name: str) -> Figures:
    """Run one check on `n` generated photos; an error is a bad finding."""
    pixels, targets = photos(folder, n, side)
    found = CHECKS[name](pixels, targets, device)
    settle(device)
    return found


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference as a share of the spread of the second."""
    return float((one - other).abs().max() / other.std())
