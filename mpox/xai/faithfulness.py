"""Does the probability change where the map points? ROAD, insertion and deletion, for maps and for baselines.

All scores are of the probability (0..1) of the explained class. Ties of a map are broken at random: otherwise a map's
zeros would be removed from the top left to the bottom right.
"""

import numpy as np
import torch
from pytorch_grad_cam.metrics.road import ROADCombined
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import Tensor, nn

from mpox.runs.opened import logits_of
from mpox.xai.gradients import blurred

# Steps from the whole photo to none of it; each takes two forward passes.
STEPS = 10
# Sd of the blur insertion starts from, as a share of the side (Petsiuk et al.: a kernel of 11 px at 224 px).
START_BLUR = 0.05
# Percentiles at which ROAD removes pixels; grad-cam's default has nine, at three times the cost.
PERCENTILES = (20, 50, 80)
# Largest value added to break ties, far below any meaningful difference.
TIE = 1e-6


def deletion_insertion(
    network: nn.Module,
    images: Tensor,
    maps: np.ndarray,
    targets: Tensor,
    *,
    seed: int = 0,
    batch: int = 34,
) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the deletion curve (lower is better) and the insertion curve (higher is better), N each, 0..1.

    Pixels are taken in the order of the map, highest first: deletion replaces them by the photo's mean colour,
    insertion brings them back into a blurred photo (RISE: Petsiuk et al., BMVC 2018). images (N, 3, S, S) float32
    0..255, maps (N, S, S), targets (N).
    """
    ranks = _ranks(maps, seed)
    areas: tuple[list[float], list[float]] = ([], [])
    for image, rank, target in zip(images, ranks, targets.tolist(), strict=True):
        treated = torch.linspace(0, rank.size, STEPS + 1).round().view(-1, 1, 1, 1)
        first = torch.from_numpy(rank).view(1, 1, *rank.shape) < treated  # (steps, 1, S, S): already treated
        first = first.to(image.device)
        start, mean = blurred(image[None], START_BLUR), image.mean((1, 2), keepdim=True)[None]
        curves = torch.cat([torch.where(first, mean, image[None]), torch.where(first, image[None], start)])
        shares = logits_of(network, curves, batch).softmax(1)[:, target].double()  # type: ignore[arg-type]
        for found, curve in zip(areas, shares.chunk(2), strict=True):
            found.append(float(torch.trapezoid(curve, dx=1 / STEPS)))
    return np.array(areas[0]), np.array(areas[1])


def road(
    network: nn.Module,
    images: Tensor,
    maps: np.ndarray,
    targets: Tensor,
    *,
    seed: int = 0,
) -> np.ndarray:
    """ROAD, combined (Rong et al., ICML 2022; grad-cam's): N scores, higher is better.

    Half the difference between the probability after the least relevant pixels were removed and after the most
    relevant were, removal being noisy interpolation from the neighbours, which leaves no sharp traces.
    """
    untied = _untied(maps, seed).astype(np.float32)
    metric = ROADCombined(percentiles=list(PERCENTILES))
    scores = []
    for image, one, target in zip(images, untied, targets.tolist(), strict=True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # The imputer's noise of 0.01 is meant for values 0..1.
            wanted = [ClassifierOutputSoftmaxTarget(target)]
            scores.append(metric((image / 255)[None], one[None], wanted, _FromUnit(network))[0])
    return np.array(scores, np.float64)


class _FromUnit(nn.Module):
    """A network of photos 0..255 as one of photos 0..1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(255 * images)


def _untied(maps: np.ndarray, seed: int) -> np.ndarray:
    """Maps within 0..1 without equal values, float64."""
    noise = np.random.default_rng(seed).random(maps.shape)
    return (1 - TIE) * maps + TIE * noise


def _ranks(maps: np.ndarray, seed: int) -> np.ndarray:
    """Place of each pixel in its photo when sorted from the highest value down: 0 is the highest."""
    flat = _untied(maps, seed).reshape(len(maps), -1)
    return (-flat).argsort(1).argsort(1).reshape(maps.shape)
