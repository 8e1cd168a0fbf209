"""The network that is written to a phone's file: preprocessing, backbone, map, temperature, probabilities."""

import copy
from typing import Any

import torch
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from mpox.model.backbone import PhotoClassifier

# Largest difference between a map's mean and the logit, as a share of the largest logit, that counts as equal.
EXACT = 1e-3


class PhoneNetwork(nn.Module):
    """A `PhotoClassifier` with its training-time branches merged, and its class activation maps where they are exact.

    images_NCHW: float32, RGB, 0..255. Returns (logits_NC,), or (logits_NC, maps_NChw) with `maps`: maps are raw and
    signed, and their mean over the positions, plus the classifier's bias, is the logit. They equal Grad-CAM at the last
    feature maps, whose weights (mean gradients) are, for a linear classifier of averages, the classifier's own.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: PhotoClassifier, *, image_size: int, maps: bool) -> None:
        super().__init__()
        # Contiguous: XNNPACK's compiler refuses weights in channels_last, in which networks are trained.
        network = copy.deepcopy(network).eval().requires_grad_(False)
        network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.register_buffer("scale", network.scale, persistent=False)
        self.register_buffer("shift", network.shift, persistent=False)
        self.image_size, self.has_maps = image_size, maps
        projection = _per_position(network.head) if maps else None
        self.body: nn.Module = Body(reparameterize_model(network.backbone), projection)

    @property
    def backbone(self) -> Any:
        """The timm model, while the body is not quantized."""
        return self.body.backbone

    def normalise(self, images_NCHW: Tensor) -> Tensor:
        """Photos 0..255 to the values the weights were trained on."""
        return images_NCHW * self.scale + self.shift

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, ...]:
        """Return (logits_NC,) or (logits_NC, maps_NChw)."""
        return self.body(self.normalise(images_NCHW))

    def with_body(self, body: nn.Module) -> "PhoneNetwork":
        """Return this network with another body of the same inputs and outputs."""
        other = copy.copy(self)
        other._modules = {**self._modules, "body": body}
        return other


class Body(nn.Module):
    """What follows the normalisation: normalised_NCHW to (logits_NC,) or (logits_NC, maps_NChw)."""

    def __init__(self, backbone: Any, projection: nn.Conv2d | None) -> None:
        super().__init__()
        self.backbone, self.projection = backbone, projection

    def forward(self, normalised: Tensor) -> tuple[Tensor, ...]:
        """Return (logits_NC,) or (logits_NC, maps_NChw)."""
        features = self.backbone.forward_features(normalised)
        logits = self.backbone.forward_head(features)
        return (logits,) if self.projection is None else (logits, self.projection(features))


class FromPixels(nn.Module):
    """A network that takes pixels_NHWC, uint8 in the order of a bitmap, in place of images_NCHW."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels_NHWC: Tensor) -> tuple[Tensor, ...]:
        """Return the network's outputs for them."""
        return self.network(pixels_NHWC.float().permute(0, 3, 1, 2))


class ForwardMethod(nn.Module):
    """The method `forward` of a file: logits_NC with the temperature in them, whose softmax is the probability.

    One output, as stock loaders of classifiers expect.
    """

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return logits_NC at the temperature, float32."""
        return self.network(images_NCHW)[0] * (1 / self.temperature)


class ExplainMethod(nn.Module):
    """The method `explain` of a file: the logits of `forward`, and the maps, from the same network and weights."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return (logits_NC at the temperature, maps_NChw), float32."""
        logits, maps = self.network(images_NCHW)
        return logits * (1 / self.temperature), maps


@torch.no_grad()
def why_no_maps(network: PhotoClassifier, images_NCHW: Tensor) -> str | None:
    """Return why the network's class maps are not exact; None where they are. `images_NCHW` are photos, 0..255.

    Found by a measurement: the maps of the classifier, position by position, must average to the logits.
    """
    features = network.backbone.forward_features(network.normalise(images_NCHW))
    if features.ndim != 4 or min(features.shape[2:]) < 2:
        return f"its last features are no maps (shape {tuple(features.shape[1:])})"
    head = network.head
    if head.weight.shape[1] != features.shape[1]:
        return "it has layers between its last feature maps and its classifier, which are defined only for averages"
    logits = network(images_NCHW)
    maps = _per_position(head)(features)
    from_maps = maps.mean((2, 3)) + (0 if head.bias is None else head.bias)
    if (from_maps - logits).abs().max() > EXACT * logits.abs().max():
        return "it has layers between its last feature maps and its classifier, which are not linear"
    return None


def _per_position(head: nn.Linear | nn.Conv2d) -> nn.Conv2d:
    """The classifier as a 1x1 convolution without bias. Its own parameter: a view of the head's crashes the runtime."""
    weight = head.weight.detach()
    projection = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=False)
    projection.weight = nn.Parameter(weight.reshape(projection.weight.shape).clone(), requires_grad=False)
    return projection.eval()
