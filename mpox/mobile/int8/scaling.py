"""Channels brought to one range: around SiLU and hard-swish, and along the sums of residual blocks.

One step of int8 has to serve all channels of a tensor. After ReLU6 it does, since the clamp makes their ranges alike.
Before and after SiLU the ranges of channels differ by a factor of hundreds. XNNPACK computes such functions in float,
between int8 layers, so that a convolution's outputs are divided by each channel's range, which is free (its weights'
steps are a channel's own), and multiplied again in float. After the function they are divided by a range again, and the
layers that follow have the factor in their weights. So have the layers around the sums of residual blocks, where
nothing has to be multiplied in between.

That exchange between activations and weights is SmoothQuant's (Xiao et al., ICML 2023), here with the channel's full
range for layers that are depthwise or in float, whose weights do not suffer from it, and its root for all others.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from mpox.mobile.int8.channels import (
    ChannelRanges,
    has_own_weights,
    is_depthwise,
    layers_after,
    multiply_inputs,
    multiply_outputs,
)
from mpox.mobile.int8.pooling import ATEN

# Functions, and the value below which their input may be anything: the output hardly changes.
LOWEST = {
    ATEN.silu.default: -6.0,
    ATEN.silu_.default: -6.0,
    ATEN.hardswish.default: -3.0,
    ATEN.hardswish_.default: -3.0,
}
ADDS = (ATEN.add.Tensor, ATEN.add_.Tensor)
# Key of a node's `meta` where it is a factor of this module, or a function between two: in float.
BETWEEN = "mpox_between_factors"
InFloat = Callable[[Node], bool]


@torch.no_grad()
def scale_channels(graph: GraphModule, batches: Callable[[], Iterable[Tensor]], in_float: InFloat) -> None:
    """Bring channels to one range, in place, where an int8 convolution is followed by one of LOWEST; same outputs.

    `graph` is float, its normalisation layers folded; `batches()` yields its inputs (NCHW), on which ranges are seen.
    Networks without these functions stay as they are.
    """
    functions = [node for node in graph.graph.nodes if node.target in LOWEST and _follows_layer(node, graph, in_float)]
    if not functions:
        return
    streams = _streams(graph, in_float)
    seen = [*(node for one in functions for node in (one, one.args[0])), *(node for one in streams for node in one)]
    ranges = ChannelRanges(graph, seen, {function.args[0]: LOWEST[function.target] for function in functions})
    for batch in batches():
        ranges.run(batch)
    for function in functions:
        _scale_around(function, ranges, graph, in_float)
    for stream in streams:
        _scale_stream(stream, ranges, graph, in_float)
    graph.graph.lint()
    graph.recompile()


def _scale_around(function: Node, ranges: ChannelRanges, graph: GraphModule, in_float: InFloat) -> None:
    layer: Any = function.args[0]
    before = ranges.of(layer)
    multiply_outputs(layer, 1 / before, graph)
    function.replace_input_with(layer, _factor(graph, layer, before))
    function.meta[BETWEEN] = True
    if following := layers_after(function, graph):
        after = _exchanged(ranges.of(function), following, graph, in_float)
        for one in following:
            multiply_inputs(one, after, graph)
        _factor(graph, function, 1 / after)


def _scale_stream(stream: list[Node], ranges: ChannelRanges, graph: GraphModule, in_float: InFloat) -> None:
    following = [layer for node in stream for layer in layers_after(node, graph, stream) or ()]
    largest = torch.stack([ranges.of(node) for node in stream]).amax(0)
    factor = _exchanged(largest, following, graph, in_float)
    for node in stream:
        if node.target not in ADDS:
            multiply_outputs(node, 1 / factor, graph)
    for layer in dict.fromkeys(following):
        multiply_inputs(layer, factor, graph)


def _exchanged(range_C: Tensor, following: list[Node], graph: GraphModule, in_float: InFloat) -> Tensor:
    """The part of each channel's range that is put into the weights of the layers that follow."""
    free = all(in_float(one) or is_depthwise(one, graph) for one in following)
    return range_C if free else range_C.sqrt()


def _streams(graph: GraphModule, in_float: InFloat) -> list[list[Node]]:
    """Sums of residual blocks with all that is summed: int8 convolutions, whose sums only layers and sums take."""
    streams: list[set[Node]] = []
    for add in (node for node in graph.graph.nodes if node.target in ADDS):
        members = {add, *add.all_input_nodes}
        joined = [one for one in streams if one & members]
        streams = [one for one in streams if not one & members] + [members.union(*joined)]
    order = list(graph.graph.nodes)

    def fits(node: Node, stream: set[Node]) -> bool:
        summed = len(node.all_input_nodes) == 2 if node.target in ADDS else has_own_weights(node, graph)
        return summed and not in_float(node) and layers_after(node, graph, stream) is not None

    whole = [one for one in streams if all(fits(node, one) for node in one)]
    return [sorted(one, key=order.index) for one in whole]


def _follows_layer(function: Node, graph: GraphModule, in_float: InFloat) -> bool:
    layer = function.args[0]
    if not isinstance(layer, Node) or in_float(layer) or in_float(function):
        return False
    return has_own_weights(layer, graph) and len(layer.users) == 1


def _factor(graph: GraphModule, node: Node, factor_C: Tensor) -> Node:
    """Multiply a node's output by a factor a channel, for all its users."""
    name = f"channel_factor_{sum(1 for _ in graph.named_buffers())}"
    graph.register_buffer(name, factor_C.view(1, -1, 1, 1).clone())
    users = list(node.users)
    with graph.graph.inserting_after(node):
        constant = graph.graph.get_attr(name)
    with graph.graph.inserting_after(constant):
        product = graph.graph.call_function(ATEN.mul.Tensor, (node, constant))
    product.meta = {**node.meta, BETWEEN: True}
    for user in users:
        user.replace_input_with(node, product)
    return product
