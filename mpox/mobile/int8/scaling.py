"""Channels brought to one range before and after SiLU and hard-swish, which XNNPACK computes in float between int8 layers.

One step of int8 has to serve all channels of a tensor. Before ReLU6 it does, since the clamp makes their ranges alike.
Before SiLU the ranges of channels differ by a factor of hundreds, and so do those after it. So a convolution's outputs
are divided by each channel's range, which is free (its weights' steps are a channel's own), and multiplied again in
float, where the function is computed anyway. After the function they are divided by a range again, and the layers that
follow have the factor in their weights: SmoothQuant's exchange (Xiao et al., ICML 2023), here with the channel's full
range for layers that are depthwise or in float, whose steps do not suffer from it, and its root for all others.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from mpox.mobile.int8.pooling import ATEN
from mpox.mobile.int8.rounding import LAYERS

# Functions, and the value below which their input may be anything: the output hardly changes.
LOWEST = {
    ATEN.silu.default: -6.0,
    ATEN.silu_.default: -6.0,
    ATEN.hardswish.default: -3.0,
    ATEN.hardswish_.default: -3.0,
}
AVERAGING = (ATEN.mean.dim, ATEN.adaptive_avg_pool2d.default, ATEN.flatten.using_ints, ATEN.dropout.default)
# Key of a node's `meta` where it is a factor of this module, or a function between two: in float.
BETWEEN = "mpox_between_factors"
# Least range of a channel, as a share of the largest channel's.
LEAST = 1e-3


@torch.no_grad()
def scale_channels(
    graph: GraphModule, batches: Callable[[], Any], in_float: Callable[[Node], bool], least: float = LEAST
) -> None:
    """Scale the channels around each function of LOWEST that follows an int8 convolution, in place; same outputs.

    `graph` is float, its normalisation layers folded; `batches()` yields its inputs (NCHW), on which ranges are seen.
    """
    functions = [node for node in graph.graph.nodes if node.target in LOWEST and _follows_layer(node, graph, in_float)]
    ranges = _Ranges(graph, functions)
    for batch in batches():
        ranges.run(batch)
    for function in functions:
        layer: Any = function.args[0]
        before, after = (_range(ranges.found[node], least) for node in (layer, function))
        _weights(graph, layer, 1 / before, outputs=True)
        factor = _factor(graph, layer, before)
        function.replace_input_with(layer, factor)
        function.meta[BETWEEN] = True
        following = _following(function, graph)
        if following is None:
            continue
        free = all(in_float(one) or _is_depthwise(one, graph) for one in following)
        after = after if free else after.sqrt()
        for one in following:
            _weights(graph, one, after, outputs=False)
        _factor(graph, function, 1 / after)
    graph.graph.lint()
    graph.recompile()


class _Ranges(Interpreter):
    """Collect, for each function, each photo's largest absolute value of each channel before and after it."""

    def __init__(self, graph: GraphModule, functions: list[Node]) -> None:
        super().__init__(graph)
        self.least = {function.args[0]: LOWEST[function.target] for function in functions}
        self.found: dict[Any, list[Tensor]] = {node: [] for one in functions for node in (one, one.args[0])}

    def run_node(self, n: Node) -> Any:
        output = super().run_node(n)
        if n in self.found:
            seen = output.clamp(min=self.least.get(n, -math.inf))
            self.found[n].append(seen.abs().flatten(2).amax(2))
        return output


def _range(found: list[Tensor], least: float) -> Tensor:
    """The mean photo's range of each channel."""
    ranges = torch.cat(found).mean(0)
    return ranges.clamp(min=max(float(ranges.max()) * least, 1e-6))


def _follows_layer(function: Node, graph: GraphModule, in_float: Callable[[Node], bool]) -> bool:
    layer = function.args[0]
    if not isinstance(layer, Node) or layer.target is not ATEN.conv2d.default or len(layer.users) > 1:
        return False
    own = all(one is None or _is_own(one, graph) for one in layer.args[1:3])
    return own and not in_float(layer) and not in_float(function)


def _factor(graph: GraphModule, node: Node, factor: Tensor) -> Node:
    """Multiply a node's output by a factor a channel, for all its users."""
    name = f"channel_factor_{sum(1 for _ in graph.named_buffers())}"
    graph.register_buffer(name, factor.view(1, -1, 1, 1).clone())
    users = list(node.users)
    with graph.graph.inserting_after(node):
        constant = graph.graph.get_attr(name)
    with graph.graph.inserting_after(constant):
        product = graph.graph.call_function(ATEN.mul.Tensor, (node, constant))
    product.meta = {**node.meta, BETWEEN: True}
    for user in users:
        user.replace_input_with(node, product)
    return product


def _following(node: Node, graph: GraphModule) -> list[Node] | None:
    """The layers that take this node's channels, through averages and products with gates; None where others do."""
    found: list[Node] = []
    for user in node.users:
        if user.target in LAYERS and user.args[0] is node and _takes_channels(user, graph):
            found.append(user)
        elif user.target in AVERAGING or (user.target is ATEN.mul.Tensor and _is_gate(user, node)):
            further = _following(user, graph)
            if further is None:
                return None
            found += further
        else:
            return None
    return list(dict.fromkeys(found)) or None


def _is_gate(product: Node, node: Node) -> bool:
    """Whether the other factor of a product is one value a channel that does not come from `node` itself alone."""
    first, second = product.args[0], product.args[1]
    other = second if first is node else first
    shape = getattr(other.meta.get("val"), "shape", ()) if isinstance(other, Node) else ()
    return first is not second and len(shape) == 4 and tuple(shape[2:]) == (1, 1)


def _takes_channels(layer: Node, graph: GraphModule) -> bool:
    return _is_own(layer.args[1], graph) and (
        layer.target is not ATEN.conv2d.default or _groups(layer) == 1 or _is_depthwise(layer, graph)
    )


def _is_own(tensor: Any, graph: GraphModule) -> bool:
    """Whether a weight or bias is a parameter that one layer alone uses."""
    if not isinstance(tensor, Node) or tensor.op != "get_attr":
        return False
    named = (node for node in graph.graph.nodes if node.op == "get_attr" and node.target == tensor.target)
    return sum(len(node.users) for node in named) == 1


def _groups(layer: Node) -> int:
    groups: Any = layer.args[6] if len(layer.args) > 6 else 1
    return int(groups)


def _is_depthwise(layer: Node, graph: GraphModule) -> bool:
    weight: Any = layer.args[1]
    return layer.target is ATEN.conv2d.default and _groups(layer) > 1 and _tensor(graph, weight).shape[1] == 1


def _weights(graph: GraphModule, layer: Node, factor: Tensor, *, outputs: bool) -> None:
    """Multiply a layer's weights by a factor a channel of its outputs (and its bias), or of its inputs, in place."""
    given: list[Any] = list(layer.args)
    weight = _tensor(graph, given[1])
    if outputs:
        weight.mul_(factor.view(-1, *[1] * (weight.ndim - 1)))
        if len(given) > 2 and given[2] is not None:
            _tensor(graph, given[2]).mul_(factor)
    elif _is_depthwise(layer, graph):
        weight.mul_(factor.repeat_interleave(len(weight) // len(factor)).view(-1, 1, 1, 1))
    else:
        weight.mul_(factor.view(1, -1, *[1] * (weight.ndim - 2)))


def _tensor(graph: GraphModule, node: Node) -> Tensor:
    owner, _, name = str(node.target).rpartition(".")
    tensor: Tensor = getattr(graph.get_submodule(owner), name)
    return tensor
