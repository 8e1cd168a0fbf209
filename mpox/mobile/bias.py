"""Bias correction: what rounding shifts the mean of a channel by is taken back through the layer's bias.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, the variant that
measures the shift on photos; here the median shift over photos, which single odd ones do not move. Depthwise
convolutions need it most: few weights a channel, whose errors do not cancel.
"""

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from mpox.mobile.ranges import Mode, set_mode

ATEN = torch.ops.aten
LAYERS = (ATEN.conv2d.default, ATEN.linear.default)


@torch.no_grad()
def correct_biases(prepared: GraphModule, normalised_NCHW: Tensor) -> None:  # noqa: N803
    """Change the biases of a prepared network so that in int8 its layers' outputs keep their means on these photos.

    One pass in float, then one in simulated int8, in which each layer is corrected before what follows it is run.
    """
    set_mode(prepared, Mode.PASS)
    means = _Means(prepared)
    means.run(normalised_NCHW)
    set_mode(prepared, Mode.ROUND)
    _Corrections(prepared, means.found).run(normalised_NCHW)
    set_mode(prepared, Mode.PASS)


class _Means(Interpreter):
    """Mean of each layer's output, a photo and channel."""

    def __init__(self, prepared: GraphModule) -> None:
        super().__init__(prepared)
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        output = super().run_node(n)
        if n.target in LAYERS:
            self.found[n.name] = _mean(output)
        return output


class _Corrections(Interpreter):
    """Add to each bias what the layer's output lacks in the median photo, and to the output."""

    def __init__(self, prepared: GraphModule, means: dict[str, Tensor]) -> None:
        super().__init__(prepared)
        self.means = means

    def run_node(self, n: Node) -> Any:
        output = super().run_node(n)
        bias = n.args[2] if n.target in LAYERS and len(n.args) > 2 else None
        if isinstance(bias, Node) and bias.op == "get_attr":
            lacking = (self.means[n.name] - _mean(output)).median(0).values
            self.fetch_attr(str(bias.target)).add_(lacking)
            output = output + lacking.view(1, -1, *[1] * (output.ndim - 2))
        return output


def _mean(output_NC: Tensor) -> Tensor:  # noqa: N803
    """Mean over positions, where there are any: (N, C)."""
    return output_NC.flatten(2).mean(2) if output_NC.ndim > 2 else output_NC
