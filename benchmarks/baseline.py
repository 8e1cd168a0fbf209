"""The plain baseline: what a user would write from the usual template. One process, one model, one fold.

ImageFolder decodes every JPEG in every epoch, torchvision augments it, a DataLoader collates it, the whole network runs
on it, frozen or not; every fold starts a process and does it all again. Nothing of `mpox` speeds it up: only the
folds, the network and its ImageNet weights are the same, so that scores can be compared.

    python -m benchmarks.baseline --photos <folder> --splits <splits.json> --model tf_efficientnet_lite0.in1k
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from mpox.model.backbone import build, input_record
from mpox.model.weights import find

BATCH_SIZE, LEARNING_RATE = 32, {"probe": 1e-3, "finetune": 1e-4}


def train_transform(size: int) -> v2.Compose:
    """Return the transforms of the default configuration, photo by photo, as torchvision has them."""
    bilinear = v2.InterpolationMode.BILINEAR
    return v2.Compose(
        [
            v2.ToImage(),
            v2.RandomRotation(15, interpolation=bilinear),
            v2.RandomResizedCrop(size, scale=(0.3, 1.0), ratio=(0.85, 1.18), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.ColorJitter(0.2, 0.2, 0.2),
        ]
    )


def test_transform(size: int) -> v2.Compose:
    """Return a resized centre square of `size` pixels, uint8."""
    return v2.Compose([v2.ToImage(), v2.Resize(size, antialias=True), v2.CenterCrop(size)])


def photo_folder(root: Path, transform: Callable[[Image.Image], Any]) -> ImageFolder:
    """Return torchvision's ImageFolder of `root`, one folder a class."""
    return ImageFolder(str(root), transform)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train on all folds but `fold` and the next, and score `fold`; returns seconds and the test photos' scores."""
    from sklearn.metrics import balanced_accuracy_score  # not where only the transforms are wanted

    start = time.perf_counter()
    torch.manual_seed(options.seed)
    record = input_record(options.model, options.image_size)
    weights = find(options.model, options.weights)
    plain, augmented = (
        photo_folder(options.photos, transform)
        for transform in (test_transform(record.image_size), train_transform(record.image_size))
    )
    roles = _roles(plain, options.photos, options.splits, options.fold)
    network = build(options.model, len(plain.classes), record, weights)
    if options.schedule == "probe":
        network.requires_grad_(False)
        network.head.requires_grad_(True)
        augmented = plain
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE[options.schedule])
    loader: Any = DataLoader(
        Subset(augmented, np.flatnonzero(roles == "train").tolist()),
        BATCH_SIZE,
        shuffle=True,
        num_workers=options.workers,
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, options.epochs * len(loader)))
    for _ in range(options.epochs):
        network.train(options.schedule == "finetune")
        for images, targets in loader:
            optimizer.zero_grad()
            F.cross_entropy(network(images), targets).backward()
            optimizer.step()
            scheduler.step()
    test = np.flatnonzero(roles == "test")
    predicted = _predict(network, DataLoader(Subset(plain, test.tolist()), BATCH_SIZE, num_workers=options.workers))
    targets = np.asarray(plain.targets)[test]
    return {
        "seconds": time.perf_counter() - start,
        "balanced_accuracy": float(balanced_accuracy_score(targets, predicted)),
        "targets": targets.tolist(),
        "predicted": predicted.tolist(),
    }


@torch.no_grad()
def _predict(network: nn.Module, loader: Any) -> np.ndarray:
    network.eval()
    return torch.cat([network(images).argmax(1) for images, _ in loader]).numpy()


def _roles(folder: ImageFolder, root: Path, splits: Path, fold: int) -> np.ndarray:
    """Return train, val or test for each photo of `folder`; empty for one that the splits leave out."""
    folds = json.loads(splits.read_text())["folds"]
    of = {photo.partition("/")[2]: k for k, photos in enumerate(folds) for photo in photos}
    names = {fold: "test", (fold + 1) % len(folds): "val"}
    places = [of.get(Path(path).relative_to(root).as_posix()) for path, _ in folder.samples]
    return np.array(["" if k is None else names.get(k, "train") for k in places])


def main() -> None:
    """Run one job and print its result as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--schedule", choices=list(LEARNING_RATE), default="probe")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    json.dump(run(options), sys.stdout)


if __name__ == "__main__":
    main()
