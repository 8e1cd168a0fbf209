"""The CNNs: timm models, and the input that their ImageNet weights expect by timm's record."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn import functional as F

from mpox.data.working_picture import ONE_STEP, RESIZES, TWO_STEP
from mpox.errors import UserError, reason_of
from mpox.model.features import LAST, STAGES
from mpox.model.stages import Stages, feature_maps, give_stage_head, pooled_features
from mpox.model.weights import RANDOM, WeightSource, read_tensors

# What timm's own function takes (weights and their place among it), and what else is given here: never an option.
NOT_OPTIONS = {*inspect.signature(timm.create_model).parameters, "num_classes", "in_chans", "features_only"}


@dataclass(frozen=True)
class InputRecord:
    """The input that a model expects: side in pixels, per-channel mean and sd for values 0..1, how photos are resized.

    Records of earlier versions do not say the last: their networks were trained on pictures resized in one step.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    resize: str = ONE_STEP


def input_record(
    timm_name: str,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    resize: str = TWO_STEP,
) -> InputRecord:
    """Read timm's record of `<architecture>.<weights tag>`; `image_size`, `mean` and `std` (values 0..1) override it.

    Raises UserError for a name that timm does not know, with the closest known names, for a mean or a standard
    deviation that is not of three channels, and for another `resize` than `mpox.data.working_picture` has.
    """
    if resize not in RESIZES:
        raise UserError(f"resize={resize} is unknown: choose {' or '.join(RESIZES)}")
    known = timm.is_model(timm_name) and timm_name in timm.list_pretrained(f"{timm_name.partition('.')[0]}.*")
    config = timm.get_pretrained_cfg(timm_name) if known else None
    if config is None:
        architecture = timm_name.partition(".")[0]
        near = timm.list_pretrained(f"{architecture}*")[:5] or timm.list_models(f"{architecture[:6]}*")[:5]
        raise UserError(
            f"timm has no model '{timm_name}' (close: {', '.join(near) or 'none'}): correct model.timm_name"
        )
    mean, std = config.mean if mean is None else mean, config.std if std is None else std
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise UserError(f"model.mean={list(mean)} model.std={list(std)}: give three numbers each (std above 0)")
    return InputRecord(
        image_size=image_size or config.input_size[-1],
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        interpolation=config.interpolation,
        resize=resize,
    )


class PhotoClassifier(nn.Module):
    """Normalisation and backbone as one network, so that the same network is trained, exported and explained.

    images_NCHW: uint8 or float32, RGB, 0..255, any side the backbone takes. Returns logits_NC, float32. `stages` are
    those whose pooled maps are features beside the last ones (`mpox.model.stages`).
    """

    backbone: Any  # a timm model, whose methods have no common type
    scale: Tensor
    shift: Tensor

    def __init__(
        self, backbone: nn.Module, record: InputRecord, stages: Stages | None = None, drop_rate: float = 0.0
    ) -> None:
        super().__init__()
        self.backbone, self.stages, self.drop_rate = backbone, stages, drop_rate
        std = torch.tensor(record.std).view(1, 3, 1, 1)
        mean = torch.tensor(record.mean).view(1, 3, 1, 1)
        # (x / 255 - mean) / std as one multiply-add. Computed from the record, so not in the state dict.
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return logits_NC."""
        return self.classify(self.normalise(images_NCHW))

    def classify(self, normalised_NCHW: Tensor) -> Tensor:
        """Return logits_NC of photos that are normalised already."""
        if self.stages is None:
            return self.backbone(normalised_NCHW)
        return self.head(pooled_features(self.backbone, self.maps(normalised_NCHW), self.drop_rate))

    def normalise(self, images_NCHW: Tensor) -> Tensor:
        """Photos 0..255 to the values the weights were trained on (float32 NCHW)."""
        return images_NCHW.float() * self.scale + self.shift

    def maps(self, normalised_NCHW: Tensor) -> list[Tensor]:
        """Return what the features are made of: the maps of the stages, and the last features at the end."""
        return feature_maps(self.backbone, normalised_NCHW, self.stages)

    def features(self, images_NCHW: Tensor) -> Tensor:
        """Return features_NF (float32): the input of the last linear layer."""
        return pooled_features(self.backbone, self.maps(self.normalise(images_NCHW)))

    @property
    def feature_widths(self) -> tuple[int, ...]:
        """How many features each stage gives, and the last ones at the end."""
        widths = self.stages.widths if self.stages is not None else ()
        return (*widths, self.head.weight.shape[1] - sum(widths))

    @torch.no_grad()
    def head_logits(self, features_NF: Tensor) -> Tensor:
        """Return logits_NC of the head for features (float32 on the CPU)."""
        bias = self.head.bias
        return F.linear(features_NF, self.head.weight.flatten(1).cpu(), None if bias is None else bias.cpu())

    @property
    def head(self) -> nn.Linear | nn.Conv2d:
        """The last linear layer, features_NF to logits_NC (in ResNetV2 a 1x1 convolution)."""
        return self.backbone.get_classifier()

    @torch.no_grad()
    def set_head(self, weight_CF: Tensor, bias_C: Tensor) -> None:
        """Copy a linear classifier of the features into the head (float32)."""
        self.head.weight.copy_(weight_CF.view_as(self.head.weight))
        self.backbone.get_classifier().bias.copy_(bias_C)


def build(
    timm_name: str,
    n_classes: int,
    record: InputRecord,
    weights: WeightSource = RANDOM,
    features: str = LAST,
    options: Mapping[str, Any] | None = None,
) -> PhotoClassifier:
    """Build the network in channels_last memory format, its backbone filled from `weights`.

    Its head has the weights' own values where they are of `n_classes`, else random ones; a file may lack it. `features`
    is `last`, or `stages` for a head of the stages' pooled maps as well. `options` go to timm (`drop_rate` 0..1,
    `pad_type`, `bn_eps`, …). Raises UserError where names and shapes of the other tensors do not match the model, for
    an option that timm does not take, and where the model does not end in a linear layer or lacks these features.
    """
    if features not in (LAST, STAGES):
        raise UserError(f"model.features={features} is unknown: choose {LAST} or {STAGES}")
    tensors, pretrained, options = read_tensors(weights), weights.kind != "none", options or {}
    if own := sorted(NOT_OPTIONS & options.keys()):
        raise UserError(f"model.options.{own[0]} is not an option of the architecture: remove it")
    try:
        headless = tensors is not None and _fill_head(timm_name, tensors)
        # timm checks names and shapes against the model only while the number of classes is that of the weights.
        backbone: Any = timm.create_model(
            timm_name,
            pretrained=pretrained,
            pretrained_cfg_overlay={"state_dict": tensors} if tensors is not None else None,
            num_classes=None if pretrained else n_classes,
            **options,
        )
        if headless or backbone.num_classes != n_classes:
            backbone.reset_classifier(n_classes)
    except TypeError as error:
        raise UserError(
            f"timm cannot build {timm_name} with {dict(options)} ({reason_of(error)}): correct model.options"
        ) from error
    except (RuntimeError, KeyError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the weights at {weights.location} are not those of {timm_name}: {reason}") from error
    if not isinstance(backbone.get_classifier(), (nn.Linear, nn.Conv2d)):
        raise UserError(f"{timm_name} does not end in a linear layer, which training needs: choose another model")
    stages = give_stage_head(backbone, timm_name, n_classes) if features == STAGES else None
    network = PhotoClassifier(backbone, record, stages, options.get("drop_rate", 0.0))
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _crashes_in_channels_last(module):
            module.weight.data = module.weight.detach().clone(memory_format=torch.contiguous_format)
            module.register_forward_pre_hook(_contiguous_input)
    return network


def _fill_head(timm_name: str, tensors: dict[str, Tensor]) -> bool:
    """Put zeros for the last layer's tensors into `tensors` where they lack or are of other classes; whether it was so.

    timm checks the names and shapes of all other tensors only where those of the head fit.
    """
    with torch.device("meta"):
        model: Any = timm.create_model(timm_name)
    names = {module: name for name, module in model.named_modules()}
    head = model.get_classifier()
    needed = (
        {f"{names[head]}.{name}": value.shape for name, value in head.state_dict().items()} if head in names else {}
    )
    fitting = {name for name, shape in needed.items() if name in tensors and tensors[name].shape == shape}
    tensors |= {name: torch.zeros(shape) for name, shape in needed.items() if len(fitting) < len(needed)}
    return len(fitting) < len(needed)


def _crashes_in_channels_last(conv: nn.Conv2d) -> bool:
    """Whether the gradient of the weights of this layer kills the process on a CPU (oneDNN in PyTorch 2.13).

    Seen with strided 1x1 kernels on 3, 4 and 8 channels, not on 16: RepVGG, MobileOne and FastViT begin with one.
    """
    return conv.kernel_size == (1, 1) and conv.stride != (1, 1) and conv.in_channels < 16


def _contiguous_input(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(one.contiguous() for one in inputs)


def layer_depths(network: PhotoClassifier) -> dict[str, float]:
    """Relative depth of each backbone parameter: 0 at the input, 1 at the head, by timm's order of layers.

    Keys are the names of `network.named_parameters()`.
    """
    backbone = network.backbone
    order = group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True)
    deepest = max(order.values())
    return {f"backbone.{name}": layer / deepest for name, layer in order.items()}
