"""Average pooling as a convolution: XNNPACK has no int8 pooling, which would run on slow portable kernels."""

from typing import Any

import torch
from torch.fx import GraphModule

ATEN = torch.ops.aten
# Suffix of the names of these weights.
WINDOW = "_window"
# kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
DEFAULTS: tuple[Any, ...] = (None, [], [0, 0], False, True, None)


def convolve_pools(graph: GraphModule) -> None:
    """Replace each average pooling of a traced network by the equivalent depthwise convolution, in place.

    All of its weights are one over the window's size, which int8 represents exactly. Unchanged are windows
    that do not count padding, or reach beyond the edge: their means at the border are of fewer values.
    """
    for node in list(graph.graph.nodes):
        if node.target is not ATEN.avg_pool2d.default:
            continue
        images: Any = node.args[0]
        rest: tuple[Any, ...] = node.args[1:]
        kernel, stride, padding, ceil_mode, counts_padding, divisor = rest + DEFAULTS[len(rest) :]
        if ceil_mode or divisor is not None or (any(padding) and not counts_padding):
            continue
        channels = images.meta["val"].shape[1]
        name, weights = f"{node.name}{WINDOW}", torch.full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1]))
        graph.register_buffer(name, weights)
        with graph.graph.inserting_before(node):
            window = graph.graph.get_attr(name)
            # Quantizers read the shape of a layer's weights here.
            window.meta["val"] = images.meta["val"].fake_mode.from_tensor(weights, static_shapes=True)
            layer = (images, window, None, stride or kernel, padding, [1, 1], channels)
            mean = graph.graph.call_function(ATEN.conv2d.default, layer)
        mean.meta = dict(node.meta)
        node.replace_all_uses_with(mean)
        graph.graph.erase_node(node)
    graph.recompile()
