"""The network that is written to a phone's file: preprocessing, backbone, map, temperature, probabilities."""

import copy
from typing import Any

import torch
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from mpox.model.backbone import PhotoClassifier
from mpox.model.class_maps import ClassMaps
from mpox.model.stages import Stages, feature_maps, pooled_parts


class PhoneNetwork(nn.Module):
    """A `PhotoClassifier` with its training-time branches merged, and its class activation maps where they are exact.

    images_NCHW: float32, RGB, 0..255. Returns (logits_NC,), or (logits_NC, maps_NChw) with `maps`: maps are raw and
    signed, and their mean over the positions, plus the classifier's bias, is the logit (`mpox.model.class_maps`). Of a
    head on the last features alone they equal Grad-CAM there, whose weights (mean gradients) are, for a linear
    classifier of averages, the classifier's own.
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
        example = torch.zeros(1, 3, image_size, image_size)
        projection = ClassMaps(network, example) if maps else None
        head = StageHead(network) if network.stages is not None else None
        self.body: nn.Module = Body(reparameterize_model(network.backbone), network.stages, head, projection)

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

    def __init__(
        self, backbone: Any, stages: Stages | None, head: "StageHead | None", projection: ClassMaps | None
    ) -> None:
        super().__init__()
        self.backbone, self.stages, self.head, self.projection = backbone, stages, head, projection

    def forward(self, normalised: Tensor) -> tuple[Tensor, ...]:
        """Return (logits_NC,) or (logits_NC, maps_NChw)."""
        maps = feature_maps(self.backbone, normalised, self.stages)
        if self.head is None:
            logits = self.backbone.forward_head(maps[0])
        else:
            logits = self.head(pooled_parts(self.backbone, maps))
        return (logits,) if self.projection is None else (logits, self.projection(maps))


class StageHead(nn.Module):
    """The head on the stages as a linear layer of each part, added up: nothing is joined, which int8 tells apart."""

    def __init__(self, network: PhotoClassifier) -> None:
        super().__init__()
        weights = network.head.weight.detach().split(list(network.feature_widths), 1)
        self.parts = nn.ModuleList(nn.Linear(one.shape[1], one.shape[0], bias=one is weights[-1]) for one in weights)
        for layer, weight in zip(self.parts, weights, strict=True):
            layer.weight = nn.Parameter(weight.clone(), requires_grad=False)
        bias: Any = network.head.bias
        self.parts[-1].bias = nn.Parameter(bias.detach().clone(), requires_grad=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits_NC of the features (N, F) of each part."""
        logits: Tensor = self.parts[-1](features[-1])
        for layer, part in zip(self.parts[:-1], features[:-1], strict=True):
            logits = logits + layer(part)
        return logits


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
