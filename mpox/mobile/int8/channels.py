"""The channels of a traced network: their ranges on photos, the layers that take them, and factors in its weights."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from mpox.mobile.int8.pooling import ATEN
from mpox.mobile.int8.rounding import LAYERS

AVERAGING = (ATEN.mean.dim, ATEN.adaptive_avg_pool2d.default, ATEN.flatten.using_ints, ATEN.dropout.default)
# Least range of a channel, as a share of the largest channel's.
LEAST = 1e-3


class ChannelRanges(Interpreter):
    """Collects each photo's largest absolute value of each channel of some nodes; `least` limits values from below."""

    def __init__(self, graph: GraphModule, nodes: Iterable[Node], least: Mapping[Any, float]) -> None:
        super().__init__(graph)
        self.least, self.found = least, {node: list[Tensor]() for node in nodes}

    def run_node(self, n: Node) -> Any:
        """Run a node, and keep what is seen of it."""
        output = super().run_node(n)
        if n in self.found:
            seen = output.clamp(min=self.least.get(n, -math.inf))
            self.found[n].append(seen.abs().flatten(2).amax(2))
        return output

    def of(self, node: Node) -> Tensor:
        """The mean photo's range of each channel (C), none of them zero."""
        ranges = torch.cat(self.found[node]).mean(0)
        return ranges.clamp(min=max(float(ranges.max()) * LEAST, 1e-6))


def layers_after(node: Node, graph: GraphModule, ignored: Iterable[Node] = ()) -> list[Node] | None:
    """The layers that take this node's channels, through averages and products with gates; None where others do.

    `ignored` are users that need not be layers.
    """
    found: list[Node] = []
    for user in node.users:
        if user in ignored:
            continue
        if user.target in LAYERS and user.args[0] is node and _takes_channels(user, graph):
            found.append(user)
        elif user.target in AVERAGING or (user.target is ATEN.mul.Tensor and _is_gate(user, node)):
            further = layers_after(user, graph)
            if further is None:
                return None
            found += further
        else:
            return None
    return list(dict.fromkeys(found))


def is_depthwise(layer: Node, graph: GraphModule) -> bool:
    """Whether a layer is a convolution of each channel by itself."""
    weight: Any = layer.args[1]
    return layer.target is ATEN.conv2d.default and _groups(layer) > 1 and _tensor(graph, weight).shape[1] == 1


def has_own_weights(layer: Node, graph: GraphModule) -> bool:
    """Whether a node is a convolution whose weights and bias no other layer uses."""
    return layer.target is ATEN.conv2d.default and all(one is None or _is_own(one, graph) for one in layer.args[1:3])


def multiply_outputs(layer: Node, factor_C: Tensor, graph: GraphModule) -> None:
    """Multiply each channel of a convolution's outputs by a factor, in its weights and bias, in place."""
    weight, *bias = [one for one in layer.args[1:3] if isinstance(one, Node)]
    _tensor(graph, weight).mul_(factor_C.view(-1, 1, 1, 1))
    for one in bias:
        _tensor(graph, one).mul_(factor_C)


def multiply_inputs(layer: Node, factor_C: Tensor, graph: GraphModule) -> None:
    """Multiply each channel of a layer's inputs by a factor, in its weights, in place."""
    given: Any = layer.args[1]
    weight = _tensor(graph, given)
    if is_depthwise(layer, graph):
        weight.mul_(factor_C.repeat_interleave(len(weight) // len(factor_C)).view(-1, 1, 1, 1))
    else:
        weight.mul_(factor_C.view(1, -1, *[1] * (weight.ndim - 2)))


def _is_gate(product: Node, node: Node) -> bool:
    """Whether the other factor of a product is one value a channel."""
    first, second = product.args[0], product.args[1]
    other = second if first is node else first
    shape = getattr(other.meta.get("val"), "shape", ()) if isinstance(other, Node) else ()
    return first is not second and len(shape) == 4 and tuple(shape[2:]) == (1, 1)


def _takes_channels(layer: Node, graph: GraphModule) -> bool:
    if not _is_own(layer.args[1], graph):
        return False
    return layer.target is not ATEN.conv2d.default or _groups(layer) == 1 or is_depthwise(layer, graph)


def _is_own(tensor: Any, graph: GraphModule) -> bool:
    """Whether a weight or bias is a parameter that one layer alone uses."""
    if not isinstance(tensor, Node) or tensor.op != "get_attr":
        return False
    named = (node for node in graph.graph.nodes if node.op == "get_attr" and node.target == tensor.target)
    return sum(len(node.users) for node in named) == 1


def _groups(layer: Node) -> int:
    groups: Any = layer.args[6] if len(layer.args) > 6 else 1
    return int(groups)


def _tensor(graph: GraphModule, node: Node) -> Tensor:
    owner, _, name = str(node.target).rpartition(".")
    tensor: Tensor = getattr(graph.get_submodule(owner), name)
    return tensor
