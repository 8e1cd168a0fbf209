"""Cost of a CNN, counted without its weights or a photo; one counted before is read without PyTorch and timm."""

import dataclasses
import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mpox.cached import kept
from mpox.files import read_json, write_json
from mpox.model.features import LAST, STAGES

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Cost:
    """Parameters, and multiply-adds of one photo at the given side."""

    parameters: int
    macs: int


def count_cost(timm_name: str, n_classes: int, image_size: int, features: str = LAST) -> Cost:
    """Count on the meta device: no memory, no arithmetic. Multiply-adds of convolutions and matrix products only.

    Raises timm's error for an unknown name, UserError for `features` that it does not have.
    """
    import timm
    import torch

    from mpox.model.backbone import PhotoClassifier, input_record
    from mpox.model.stages import give_stage_head

    with torch.device("meta"):
        backbone = timm.create_model(timm_name, num_classes=n_classes).eval()
        stages = give_stage_head(backbone, timm_name, n_classes) if features == STAGES else None
        return cost_of(PhotoClassifier(backbone, input_record(timm_name), stages), image_size)


def cost_of(network: "nn.Module", image_size: int) -> Cost:
    """Count a network in eval mode, on any device, by running one photo of zeros through it."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    photo = torch.zeros(1, 3, image_size, image_size, device=next(network.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(photo)
    return Cost(sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops() // 2)


def cached_cost(timm_name: str, n_classes: int, image_size: int, features: str, cache: Path) -> Cost:
    """Return `count_cost`, kept in `<cache>/costs/` by timm's version, name, classes, side and features."""
    known = f"{importlib.metadata.version('timm')} {timm_name} {n_classes} {image_size} {features}"
    key = hashlib.sha256(known.encode()).hexdigest()[:16]
    return kept(
        cache / "costs" / f"{key}.json",
        lambda: count_cost(timm_name, n_classes, image_size, features),
        lambda cost, path: write_json(path, dataclasses.asdict(cost)),
        lambda path: Cost(**read_json(path)),
    )
