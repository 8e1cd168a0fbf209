"""Does the map depend on the learned weights? (Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018)"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mpox.model.backbone import PhotoClassifier, layer_depths
from mpox.xai.cams import Explainer, upsampled
from mpox.xai.map_similarity import rank_correlation

# The cascade: all layers at or above each of these relative depths (1 the head, 0 the input) are shuffled.
DEPTHS = (1.0, 0.9, 0.7, 0.5, 0.25, 0.0)

Factory = Callable[[PhotoClassifier, Tensor], Explainer]


def randomisation(
    network: PhotoClassifier, factory: Factory, images: Tensor, targets: Tensor, *, seed: int = 0
) -> dict[float, np.ndarray]:
    """Rank correlation (N) of each photo's map with its map after layers are shuffled, from the head downwards.

    Keys are DEPTHS. The values of each tensor of a layer are shuffled, which removes what it learned and keeps the
    distribution, so that activations neither explode nor vanish. A map that hardly changes shows the photo, not the
    model. `factory(network, images)` makes the explainer; images_NCHW float32, targets_N int64.
    """
    first = factory(network, images)(images, targets)
    found = {}
    for depth in DEPTHS:
        shuffled = shuffle_from(copy.deepcopy(network), depth, seed)
        maps = factory(shuffled, images)(images, targets)
        found[depth] = rank_correlation(*(upsampled(raw, images.shape[-1] // 4) for raw in (first, maps)))
    return found


@torch.no_grad()
def shuffle_from(network: PhotoClassifier, depth: float, seed: int) -> PhotoClassifier:
    """Shuffle the values of every parameter at relative depth `depth` or deeper, and of its norm, in place."""
    depths = layer_depths(network)
    owners = {name.rpartition(".")[0] for name, at in depths.items() if at >= depth}
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if name.rpartition(".")[0] in owners and tensor.is_floating_point() and tensor.numel() > 1:
            order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
            tensor.copy_(tensor.flatten()[order].view_as(tensor))
    return network
