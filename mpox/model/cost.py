"""Cost of a CNN, counted without its weights or a photo; one counted before is read without PyTorch and timm."""

import dataclasses
import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mpox.cached import kept
from mpox.files import read_json, write_json

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Cost:
    """Parameters, and multiply-adds of one photo at the given side."""

    parameters: int
    macs: int


def count_cost(timm_name: str, n_classes: int, image_size: int) -> Cost:
    """Count on the meta device: no memory, no arithmetic. Multiply-adds of convolutions and matrix products only.

    Raises timm's error for an unknown name.
    """
    import timm
    import torch

    with torch.device("meta"):
        return cost_of(timm.create_model(timm_name, num_classes=n_classes).eval(), image_size)


def cost_of(network: "nn.Module", image_size: int) -> Cost:
    """Count a network in eval mode, on any device, by running one photo of zeros through it."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    photo = torch.zeros(1, 3, image_size, image_size, device=next(network.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(photo)
    return Cost(sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops() // 2)


def cached_cost(timm_name: str, n_classes: int, image_size: int, cache: Path) -> Cost:
    """Return `count_cost`, kept in `<cache>/costs/` by timm's version, name, classes and side."""
    key = hashlib.sha256(
        f"{importlib.metadata.version('timm')} {timm_name} {n_classes} {image_size}".encode()
    ).hexdigest()[:16]
    return kept(
        cache / "costs" / f"{key}.json",
        lambda: count_cost(timm_name, n_classes, image_size),
        lambda cost, path: write_json(path, dataclasses.asdict(cost)),
        lambda path: Cost(**read_json(path)),
    )
