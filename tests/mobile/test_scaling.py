"""Channels of unlike ranges around SiLU: the same float network, and an int8 one that is much nearer to it."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from mpox.mobile.int8.pooling import ATEN
from mpox.mobile.int8.scaling import BETWEEN, scale_channels


class Block(nn.Module):
    """Expansion, depthwise convolution, squeeze and excitation, projection, sum; channels differ by a factor of 300."""

    def __init__(self, function: type[nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.last = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 5, 1)
        self.expand, self.depthwise = nn.Conv2d(8, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.squeeze, self.excite, self.project = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1), nn.Conv2d(16, 8, 1)
        self.function = function()
        spread = torch.logspace(-1.5, 1, 16).view(-1, 1, 1, 1)
        with torch.no_grad():
            for layer in (self.expand, self.depthwise):
                layer.weight.mul_(spread if layer is self.expand else spread.flip(0))
            for layer in (self.stem, self.project):
                layer.weight.mul_(spread[::2])

    def forward(self, images: Tensor) -> Tensor:
        before = self.stem(images)
        inside = self.function(self.depthwise(self.function(self.expand(before))))
        gate = self.excite(self.function(self.squeeze(inside.mean((2, 3), keepdim=True)))).sigmoid()
        return self.last(before + self.project(inside * gate))


def exported(function: type[nn.Module], images: Tensor) -> GraphModule:
    graph: GraphModule = torch.export.export(Block(function).eval(), (images,)).module()
    return graph


def rounded(values: Tensor) -> Tensor:
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 1e-9)
    step = (high - low) / 255
    return torch.fake_quantize_per_tensor_affine(values, step, round(-low / step) - 128, -128, 127)


class Int8Activations(torch.fx.Interpreter):
    """Runs a graph with the outputs of convolutions, and what goes into them, in 8 bits."""

    def run_node(self, n: torch.fx.Node) -> Tensor:
        output = super().run_node(n)
        into = any(user.target is ATEN.conv2d.default for user in n.users)
        values: Tensor = rounded(output) if n.op == "call_function" and (into or n.target in LAYER) else output
        return values


LAYER = (ATEN.conv2d.default,)


def test_the_float_network_stays_and_int8_comes_nearer() -> None:
    images = torch.randn(8, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    for function in (nn.SiLU, nn.Hardswish):
        graph = exported(function, images)
        with torch.no_grad():
            exact, stem = graph(images), graph.get_parameter("stem.weight").clone()
            before = (Int8Activations(graph).run(images) - exact).square().mean()
            scale_channels(graph, lambda: iter([images]), lambda node: False)
            torch.testing.assert_close(graph(images), exact, atol=1e-4, rtol=1e-4)
            after = (Int8Activations(graph).run(images) - exact).square().mean()
        factors = [node for node in graph.graph.nodes if BETWEEN in node.meta and node.target is ATEN.mul.Tensor]
        assert len(factors) == 6  # before and after each of the three functions, and none in the sum
        assert (graph.get_parameter("stem.weight") / stem).std() > 0.1
        assert after < before / 3, function


def test_what_stays_in_float_or_is_used_elsewhere_is_left_alone() -> None:
    images = torch.randn(2, 4, 6, 6)
    graph = exported(nn.SiLU, images)
    nodes = len(graph.graph.nodes)
    scale_channels(graph, lambda: iter([images]), lambda node: True)
    assert len(graph.graph.nodes) == nodes

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(4, 4, 1)

        def forward(self, images: Tensor) -> Tensor:
            inside = nn.functional.silu(self.layer(images))
            return self.layer(inside) + inside  # one layer twice, and an output that no layer takes

    network = Sum().eval()
    graph = torch.export.export(network, (images,)).module()
    with torch.no_grad():
        exact = graph(images)
        scale_channels(graph, lambda: iter([images]), lambda node: False)
        torch.testing.assert_close(graph(images), exact, atol=1e-5, rtol=1e-5)
