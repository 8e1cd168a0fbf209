"""The frozen first layers of a network: what comes out of them depends on a photo and its view alone, in every fold.

A network is taken as a chain of layers, each of the output of the one before. Whether a network is such a chain is not
known from its class: it is tried, and held to the network's own answers to the last bit.
"""

import contextlib
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpox.model.backbone import PhotoClassifier
from mpox.model.frozen import bytes_of, settings_of
from mpox.model.stages import CHECKED_SIDE, pooled_features


class NoTrunkError(Exception):
    """Why the frozen layers of a network cannot be run beforehand."""


@dataclass(frozen=True)
class Trunk:
    """The frozen first layers, in order; `channels` is how many maps the last of them gives.

    `inner` takes the place of a stage among those that are pooled (`PhotoClassifier.stages`) to the layer that ends it,
    for the stages that end before the last of `layers`.
    """

    network: PhotoClassifier
    layers: tuple[nn.Module, ...]
    channels: int
    inner: dict[int, int]
    reduced: bool

    @torch.no_grad()
    def run(self, images_NCHW: Tensor) -> Tensor:
        """Return (N, D) of square photos: the last layer's maps, pixel by pixel, then the means of the inner stages.

        float32; with `reduced` of the values of bfloat16, which the layers compute in.
        """
        # Training mode would change the statistics of norms.
        with _evaluating(self.layers), _precision(images_NCHW.device, self.reduced):
            outputs = _outputs(self.layers, self.network.normalise(images_NCHW))
            means = [F.adaptive_avg_pool2d(outputs[k], 1).flatten(1) for k in self.inner.values()]
        return torch.cat([outputs[-1].permute(0, 2, 3, 1).flatten(1).float(), *(mean.float() for mean in means)], 1)

    def logits(self, found_ND: Tensor) -> Tensor:
        """Return logits_NC of what `run` gave, with the network's later layers as they are now."""
        network = self.network
        if self.reduced:
            found_ND = found_ND.bfloat16()
        if network.stages is None:
            with _passing(self.layers):
                return network.classify(self._maps(found_ND))
        widths = [network.stages.widths[place] for place in self.inner]
        n = found_ND.shape[1] - sum(widths)
        with _passing(self.layers):
            maps = network.maps(self._maps(found_ND[:, :n]))
        for place, means in zip(self.inner, found_ND[:, n:].split(widths, 1), strict=True):
            maps[place] = means[:, :, None, None]  # the mean of one pixel is itself
        return network.head(pooled_features(network.backbone, maps, network.drop_rate))

    @property
    def fingerprint(self) -> str:
        """A hash of all that `run` depends on but the photos."""
        named = f"{self.network.backbone.pretrained_cfg.get('architecture')} {self.inner}{' bf16' * self.reduced}"
        digest = hashlib.sha256(named.encode())
        for layer in self.layers:
            digest.update(settings_of(layer).encode())
            for name, tensor in layer.state_dict().items():
                digest.update(name.encode() + bytes_of(tensor))
        digest.update(bytes_of(self.network.scale) + bytes_of(self.network.shift))
        return digest.hexdigest()

    def _maps(self, flat: Tensor) -> Tensor:
        side = math.isqrt(flat.shape[1] // self.channels)
        maps = flat.reshape(len(flat), side, side, self.channels).permute(0, 3, 1, 2)
        return maps.contiguous(memory_format=torch.channels_last)


def find_trunk(network: PhotoClassifier, *, reduced: bool = False) -> Trunk:
    """Return the longest chain of layers at the network's beginning that training leaves alone.

    Takes `requires_grad` and the mode of the norms as they are. Raises NoTrunkError, which says why, where there is
    none, where chance or the batch has a part in it, and where the network is no such chain.
    """
    side = max(CHECKED_SIDE, network.backbone.default_cfg.get("min_input_size", (3, 0, 0))[-1])
    device = next(network.parameters()).device
    noise = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device) * 255
    varying = {module for module in network.modules() if _varies(module)}
    with torch.no_grad(), _evaluating([network]), _precision(device, reduced):
        frozen = []
        for layer in _chain(network, noise):
            if any(parameter.requires_grad for parameter in layer.parameters()):
                break
            frozen.append(layer)
        if not any(list(layer.parameters()) for layer in frozen):
            raise NoTrunkError("no layer at the beginning is frozen")
        if loose := [one for layer in frozen for one in layer.modules() if one in varying]:
            raise NoTrunkError(f"{type(loose[0]).__name__} depends on the batch or on chance")
        try:
            outputs = _outputs(frozen, network.normalise(noise))
            trunk = Trunk(network, tuple(frozen), outputs[-1].shape[1], _inner(network, outputs, noise), reduced)
            same = torch.equal(trunk.logits(trunk.run(noise)), network(noise))
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise NoTrunkError(f"its layers are no chain ({' '.join(str(error).split())[:100]})") from error
        if not same:
            raise NoTrunkError("its layers are no chain")
        return trunk


def _chain(network: PhotoClassifier, noise: Tensor) -> list[nn.Module]:
    """Return the layers in the order in which they run, sequences taken apart."""
    ran: list[nn.Module] = []
    children = [layer for child in network.backbone.children() for layer in _parts(child)]
    hooks = [layer.register_forward_hook(lambda layer, *_: ran.append(layer)) for layer in children]
    try:
        network(noise)
    finally:
        for hook in hooks:
            hook.remove()
    return ran


def _parts(layer: nn.Module) -> Iterator[nn.Module]:
    if isinstance(layer, nn.Sequential) and len(layer):
        for child in layer:
            yield from _parts(child)
    else:
        yield layer


def _varies(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return module.training
    return any(getattr(module, name, 0.0) for name in ("p", "drop_prob", "drop_path_rate"))


def _inner(network: PhotoClassifier, outputs: list[Tensor], noise: Tensor) -> dict[int, int]:
    if network.stages is None:
        return {}
    found = {}
    for place, wanted in enumerate(network.maps(network.normalise(noise))[:-1]):
        layers = [k for k, one in enumerate(outputs) if one.shape == wanted.shape and torch.equal(one, wanted)]
        if layers and layers[-1] < len(outputs) - 1:
            found[place] = layers[-1]
    return found


def _outputs(layers: Sequence[nn.Module], x: Tensor) -> list[Tensor]:
    outputs = []
    for layer in layers:
        x = layer(x)
        outputs.append(x)
    return outputs


def _precision(device: torch.device, reduced: bool) -> torch.autocast:
    """What Lightning's `bf16-mixed` does around a step."""
    return torch.autocast(device.type, torch.bfloat16, enabled=reduced)


@contextlib.contextmanager
def _evaluating(layers: Sequence[nn.Module]) -> Iterator[None]:
    modes = {module: module.training for layer in layers for module in layer.modules()}
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextlib.contextmanager
def _passing(layers: tuple[nn.Module, ...]) -> Iterator[None]:
    """Let the layers give what they are given; their parameters stay where they are, in the network."""
    for layer in layers:
        layer.forward = _same
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _same(x: Tensor) -> Tensor:
    return x
