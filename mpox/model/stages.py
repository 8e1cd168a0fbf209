"""What the head is a linear layer of: the last features alone, or the pooled maps of the later stages beside them.

A network's last features are made for ImageNet's classes. Earlier maps hold texture and colour that those no longer
show, and their means over the photo cost nothing: they are computed anyway. Linear classifiers of several layers of a
frozen network are ahead of those of the last elsewhere, too (Evci et al., "Head2Toe", ICML 2022).
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpox.errors import UserError
from mpox.model.features import LAST

# Stages whose maps have this stride or more, in pixels of the photo, are pooled.
LEAST_STRIDE = 8
# Side of the noise on which a network's stages are checked; Inception-v3 needs 75.
CHECKED_SIDE = 96
# Differences of the same arithmetic in another order, as a share of the largest value.
SAME = 1e-4


@dataclass(frozen=True)
class Stages:
    """The stages of a network that are pooled: their numbers in timm, and their channels.

    With `every_block` timm numbers all blocks of the network, not only the last of each size of maps.
    """

    numbers: tuple[int, ...]
    widths: tuple[int, ...]
    every_block: bool


def feature_maps(backbone: Any, normalised_NCHW: Tensor, stages: Stages | None) -> list[Tensor]:
    """Return the maps (N, C, h, w) of the stages, and the last features at the end."""
    if stages is None:
        return [backbone.forward_features(normalised_NCHW)]
    last, maps = _intermediates(backbone, normalised_NCHW, list(stages.numbers), stages.every_block)
    return [*maps, last]


def pooled_parts(backbone: Any, maps: Sequence[Tensor]) -> list[Tensor]:
    """Return the features (N, F) of each of `feature_maps`: means over the photo; at the end, the last features."""
    # As timm pools, in four dimensions: phones' runtimes have a kernel for that.
    means = [F.adaptive_avg_pool2d(one, 1).flatten(1) for one in maps[:-1]]
    return [*means, backbone.forward_head(maps[-1], pre_logits=True).flatten(1)]


def pooled_features(backbone: Any, maps: Sequence[Tensor], drop_rate: float = 0.0) -> Tensor:
    """Return features_NF of `feature_maps`, all parts side by side.

    `drop_rate` is of the stages' means in training; timm's models drop of the last features themselves.
    """
    *means, last = pooled_parts(backbone, maps)
    if backbone.training and drop_rate:
        means = [F.dropout(one, drop_rate) for one in means]
    return torch.cat([*means, last], 1) if means else last


@torch.no_grad()
def give_stage_head(backbone: Any, name: str, n_classes: int) -> Stages:
    """Put a random head over all features into a timm model, in place, and return its stages.

    Raises UserError where timm does not give the maps of this model's stages, or other last features with them.
    """
    was_training = backbone.training
    try:
        stages, n_features = _find(backbone.eval())
    except (AttributeError, TypeError, AssertionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{name} gives no maps of its stages ({reason}): give model.features={LAST}") from error
    finally:
        backbone.train(was_training)
    replace_head(backbone, n_features, n_classes)
    return stages


def replace_head(backbone: Any, n_features: int, n_classes: int) -> None:
    """Put a random linear layer in the place of a timm model's classifier."""
    old = backbone.get_classifier()
    place = next(path for path, module in backbone.named_modules() if module is old)
    backbone.set_submodule(place, nn.Linear(n_features, n_classes, device=old.weight.device))


def _find(backbone: Any) -> tuple[Stages, int]:
    """Return the stages to pool, and the number of all features. ValueError says why there are none.

    A stage whose maps are the last features themselves is not pooled twice.
    """
    device = next(backbone.parameters()).device
    noise = torch.rand(1, 3, CHECKED_SIDE, CHECKED_SIDE, generator=torch.Generator().manual_seed(0)).to(device)
    every_block = "extra_blocks" in inspect.signature(backbone.forward_intermediates).parameters
    last, maps = _intermediates(backbone, noise, None, every_block)
    expected = backbone.forward_features(noise)
    if expected.shape != last.shape or not (expected.is_meta or _same(expected, last)):
        raise ValueError("timm gives other last features with them")
    kept = {k: one for k, one in enumerate(maps) if _is_coarse(one) and one is not last}
    if not kept:
        raise ValueError("it has none before the last")
    n_features = pooled_features(backbone, [*kept.values(), last]).shape[1]
    return Stages(tuple(kept), tuple(one.shape[1] for one in kept.values()), every_block), n_features


def _intermediates(
    backbone: Any, normalised: Tensor, indices: list[int] | None, every_block: bool
) -> tuple[Tensor, list[Tensor]]:
    more = {"extra_blocks": True} if every_block else {}
    last, maps = backbone.forward_intermediates(normalised, indices=indices, **more)
    return last, maps


def _is_coarse(maps: Tensor) -> bool:
    return maps.ndim == 4 and max(maps.shape[2:]) * LEAST_STRIDE <= CHECKED_SIDE


def _same(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= SAME * one.abs().max())
