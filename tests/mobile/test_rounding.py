"""Int8 weights whose errors cancel: the published procedure, and convolutions of every kind."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

from mpox.mobile.int8.quantizer import PhoneQuantizer, static_config
from mpox.mobile.int8.ranges import Mode, WeightRange, observers
from mpox.mobile.int8.rounding import DAMPING, round_layers, round_weights


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def one_by_one(weights_K: Tensor, step: float, moments_KK: Tensor) -> Tensor:
    """Optimal brain surgery in its textbook form: after each weight, the inverse is computed again without it."""
    left, damped = weights_K.double().clone(), moments_KK.double()
    damped = damped + DAMPING * damped.diagonal().mean() * torch.eye(len(damped))
    for k in range(len(left)):
        inverse = torch.linalg.inv(damped[k:, k:])
        rounded = (left[k] / step).round().clamp(-127, 127) * step
        left[k:] -= (left[k] - rounded) / inverse[0, 0] * inverse[0]
        left[k] = rounded
    return left.float()


@pytest.mark.parametrize("number", [9, 150])
def test_weights_are_rounded_as_published(number: int) -> None:
    inputs = drawn(2, number, 3 * number) + 2  # correlated, as activations behind a ReLU are
    moments = inputs @ inputs.transpose(1, 2) / inputs.shape[2]
    weights = drawn(2, 3, number, seed=1)
    steps = weights.abs().amax(2) / 127
    rounded = round_weights(weights, steps, moments)
    for group in range(2):
        for output in range(3):
            expected = one_by_one(weights[group, output], float(steps[group, output]), moments[group])
            torch.testing.assert_close(rounded[group, output], expected, atol=1e-5, rtol=0)
    nearest = (weights / steps[..., None]).round() * steps[..., None]
    errors = [float(((one - weights) @ inputs).square().mean()) for one in (rounded, nearest)]
    assert errors[0] < 0.5 * errors[1]


KINDS = {
    "1x1": nn.Conv2d(8, 16, 1),
    "without bias": nn.Conv2d(8, 16, 1, bias=False),
    "3x3 by 2": nn.Conv2d(8, 16, 3, stride=2, padding=1),
    "1x5": nn.Conv2d(8, 16, (1, 5), padding=(0, 2)),
    "in groups, dilated": nn.Conv2d(8, 16, 3, padding=2, dilation=2, groups=2),
    "depthwise": nn.Conv2d(8, 8, 5, padding=2, groups=8),
    "linear": nn.Linear(12, 16),
}


class Layers(nn.Module):
    """Layers side by side, behind inputs with a range."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(KINDS.values())

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        inputs = torch.relu(images)
        return tuple(layer(inputs) for layer in self.layers)


def test_layers_of_every_kind_lose_less_than_by_rounding_to_the_nearest() -> None:
    network = Layers().eval()
    for layer in network.layers:
        for seed, parameter in enumerate(layer.parameters()):
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(seed))
    # Channels and neighbouring positions are nearly the same, as in photos.
    images = drawn(16, 1, 12, 1) + drawn(16, 8, 12, 12, seed=1) / 5 + 2
    graph = torch.export.export(network, (images,)).module()
    prepared = prepare_pt2e(graph, PhoneQuantizer(static_config(), lambda node: False))
    prepared(images)
    for observer in observers(prepared).values():
        observer.freeze()
    errors = {}
    for weights in (True, False):
        rounded = copy.deepcopy(prepared)
        round_layers(rounded, images, weights=weights)
        for observer in observers(rounded).values():
            observer.mode = Mode.ROUND if isinstance(observer, WeightRange) else Mode.PASS
        with torch.no_grad():
            pairs = zip(rounded(images), network(images), strict=True)
            errors[weights] = [float((given - exact).square().mean()) for given, exact in pairs]
    for kind, together, nearest in zip(KINDS, errors[True], errors[False], strict=True):
        assert together < 0.8 * nearest, kind
