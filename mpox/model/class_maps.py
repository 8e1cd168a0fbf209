"""Class activation maps (Zhou et al., CVPR 2016): where in the photo a logit comes from; exact if features are means.

A stage's share of a logit is linear in the mean of its maps, so it has a map of its own. Each is brought to one grid by
means over areas, which keep its mean, and they are added up.
"""

import torch
from torch import Tensor, nn

from mpox.model.backbone import PhotoClassifier

# Largest difference between a map's mean and the logit, as a share of the largest logit, that counts as equal.
EXACT = 1e-3


class ClassMaps(nn.Module):
    """The maps of all classes, for photos of the side of `image_NCHW` (float32, 0..255).

    Takes `PhotoClassifier.maps`. Returns maps_NChw, raw and signed, on the grid of the last features: their mean over
    the places, plus the classifier's bias, is the logit.
    """

    def __init__(self, network: PhotoClassifier, image_NCHW: Tensor) -> None:
        super().__init__()
        with torch.no_grad():
            maps = network.maps(network.normalise(image_NCHW[:1]))
        weights = network.head.weight.detach().flatten(1).split(list(network.feature_widths), 1)
        self.projections = nn.ModuleList(_per_position(weight) for weight in weights)
        self.grids = nn.ModuleList(_to_grid(one, maps[-1]) for one in maps)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return maps_NChw."""
        parts = [
            to_grid(projection(one))
            for one, projection, to_grid in zip(maps, self.projections, self.grids, strict=True)
        ]
        total: Tensor = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


@torch.no_grad()
def why_no_maps(network: PhotoClassifier, images_NCHW: Tensor) -> str | None:
    """Return why the network's class maps are not exact; None where they are. `images_NCHW` are photos, 0..255.

    Found by a measurement: the maps of the classifier, position by position, must average to the logits.
    """
    maps = network.maps(network.normalise(images_NCHW))
    for one in maps:
        if one.ndim != 4 or min(one.shape[2:]) < 2:
            return f"its features are no maps (shape {tuple(one.shape[1:])})"
    if network.feature_widths[-1] != maps[-1].shape[1]:
        return "it has layers between its last feature maps and its classifier, which are defined only for averages"
    logits, bias = network(images_NCHW), network.head.bias
    from_maps = ClassMaps(network, images_NCHW)(maps).mean((2, 3)) + (0 if bias is None else bias)
    if (from_maps - logits).abs().max() > EXACT * logits.abs().max():
        return "it has layers between its last feature maps and its classifier, which are not linear"
    return None


def _per_position(weight_CF: Tensor) -> nn.Conv2d:
    """A part of the classifier as a 1x1 convolution without bias; its own parameter, as a view crashes the runtime."""
    projection = nn.Conv2d(weight_CF.shape[1], weight_CF.shape[0], 1, bias=False)
    projection.weight = nn.Parameter(weight_CF[:, :, None, None].clone(), requires_grad=False)
    return projection.eval()


class _MeansOverAreas(nn.Module):
    """Maps (N, C, H, W) to a grid of other places, each the mean over its share of the area, parts of places too."""

    def __init__(self, rows: nn.Linear, columns: nn.Linear) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, maps: Tensor) -> Tensor:
        return self.rows(self.columns(maps).transpose(2, 3)).transpose(2, 3)


def _to_grid(maps: Tensor, grid: Tensor) -> nn.Module:
    if maps.shape[2:] == grid.shape[2:]:
        return nn.Identity()
    return _MeansOverAreas(*(_means(maps.shape[axis], grid.shape[axis], maps) for axis in (2, 3)))


def _means(side: int, to: int, like: Tensor) -> nn.Linear:
    """A linear layer of `side` places in a line to `to`."""
    edges = torch.arange(to + 1, dtype=torch.float64) * side / to
    places = torch.arange(side, dtype=torch.float64)
    low, high = edges[:-1, None], edges[1:, None]
    overlap = (torch.minimum(high, places + 1) - torch.maximum(low, places)).clamp_min(0)
    layer = nn.Linear(side, to, bias=False)
    layer.weight = nn.Parameter((overlap * to / side).to(like), requires_grad=False)
    return layer.eval()
