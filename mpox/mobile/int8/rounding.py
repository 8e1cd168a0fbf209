"""Weights and biases for int8, layer by layer: later weights and biases compensate the errors of rounding.

Weights: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023,
here for convolutions of any kind. The weights of an output are rounded in turn, and the weights that follow compensate
the error of each on the inputs of the photos. So the errors cancel instead of adding up.

Biases: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, the variant
that measures the shift of a channel's mean on photos; here the median shift over photos, which does not
depend on single outliers.

Both use each layer's inputs in simulated int8, that is, after all layers already rounded.
"""

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.nn import functional as F

from mpox.mobile.int8.pooling import ATEN, WINDOW
from mpox.mobile.int8.ranges import TINY, Mode, WeightRange, set_mode

LINEAR = ATEN.linear.default
LAYERS = (ATEN.conv2d.default, LINEAR)
# Random positions of a photo at which a convolution's inputs are sampled.
POSITIONS = 128
# Above this number of weights an output's are rounded to the nearest: their products would need too much memory.
MOST_WEIGHTS = 8192
# Added to the second moments of the inputs, as a share of their mean: GPTQ's value.
DAMPING = 0.01
# Weights that are rounded before their errors are passed together to all that follow.
BLOCK = 64


@torch.no_grad()
def round_layers(prepared: GraphModule, normalised_NCHW: Tensor, *, weights: bool) -> None:
    """Round the weights of a prepared network to their int8 steps (if `weights`), and correct its biases, on photos.

    Ranges must be frozen. One pass in float, then one in simulated int8, in which each layer is rounded before the next
    is run. Without `weights` they keep their values, and are simulated as rounded to the nearest.
    """
    set_mode(prepared, Mode.PASS)
    means = _Means(prepared)
    means.run(normalised_NCHW)
    set_mode(prepared, Mode.ROUND)
    _Rounding(prepared, means.found, weights).run(normalised_NCHW)
    set_mode(prepared, Mode.PASS)


def round_weights(weights_GRK: Tensor, steps_GR: Tensor, moments_GKK: Tensor, largest: int = 127) -> Tensor:
    """Return the weights as whole multiples (at most `largest`) of their `steps`, chosen to change the outputs least.

    G groups of R outputs each, K weights an output; `moments` are the second moments of their inputs. Float32.
    """
    number = moments_GKK.shape[-1]
    power = moments_GKK.diagonal(dim1=1, dim2=2).mean(1).clamp(min=TINY)
    damped = moments_GKK.double() + DAMPING * power[:, None, None] * torch.eye(number)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    # Row k: how the weights after weight k best compensate its error.
    share = torch.linalg.cholesky(inverse, upper=True).float()
    left, rounded = weights_GRK.clone(), torch.empty_like(weights_GRK)
    for start in range(0, number, BLOCK):
        block = slice(start, min(start + BLOCK, number))
        errors = torch.zeros_like(left[:, :, block])
        for k in range(block.start, block.stop):
            rounded[:, :, k] = (left[:, :, k] / steps_GR).round().clamp(-largest, largest) * steps_GR
            error = (left[:, :, k] - rounded[:, :, k]) / share[:, k, k, None]
            left[:, :, k : block.stop] -= error[:, :, None] * share[:, None, k, k : block.stop]
            errors[:, :, k - start] = error
        left[:, :, block.stop :] -= errors @ share[:, block, block.stop :]
    return rounded


class _Means(Interpreter):
    """Collect the mean of each layer's output by photo and channel."""

    def __init__(self, prepared: GraphModule) -> None:
        super().__init__(prepared)
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        output = super().run_node(n)
        if n.target in LAYERS:
            self.found[n.name] = _mean(n, output)
        return output


class _Rounding(Interpreter):
    """Round each layer's weights; add the median photo's shift of the output to the bias, and to the output."""

    def __init__(self, prepared: GraphModule, means: dict[str, Tensor], weights: bool) -> None:
        super().__init__(prepared)
        self.means, self.weights = means, weights

    def run_node(self, n: Node) -> Any:
        if self.weights and n.target in LAYERS:
            self._round(n)
        output = super().run_node(n)
        bias = _bias(n)
        if bias is not None:
            shift = (self.means[n.name] - _mean(n, output)).median(0).values
            self.fetch_attr(str(bias.target)).add_(shift)
            output = output + (shift if n.target is LINEAR else shift.view(1, -1, *[1] * (output.ndim - 2)))
        return output

    def _round(self, layer: Node) -> None:
        """Round the weights in place, and freeze their steps, where they are a layer's own and in int8."""
        source: Any = layer.args[0]
        observed: Any = layer.args[1]
        observer = self.submodules.get(observed.target) if observed.op == "call_module" else None
        if not isinstance(observer, WeightRange) or observer.rounded or str(observed.args[0].target).endswith(WINDOW):
            return
        weight = self.fetch_attr(str(observed.args[0].target))
        if weight[0].numel() > MOST_WEIGHTS:
            return
        products = _inputs(layer, self.env[source], weight)
        if _bias(layer) is not None:  # the bias compensates a change of the mean
            products = products - products.mean(2, keepdim=True)
        moments = products @ products.transpose(1, 2) / products.shape[2]
        by_group = weight.reshape(len(products), -1, weight[0].numel())
        steps = observer.step.reshape(by_group.shape[:2])
        weight.copy_(round_weights(by_group, steps, moments, observer.quant_max).reshape(weight.shape))
        observer.rounded = True
        self.env[observed] = weight


def _inputs(layer: Node, inputs: Tensor, weight: Tensor) -> Tensor:
    """The factors of the layer's weights at random positions of each photo: (groups, weights of an output, n).

    Every photo has the same weight: its inputs are divided by their root mean square.
    """
    photos = inputs.flatten(1).square().mean(1).clamp(min=TINY).sqrt()
    inputs = inputs / photos.view(-1, *[1] * (inputs.ndim - 1))
    if layer.target is LINEAR:
        return inputs.reshape(1, -1, weight.shape[1]).transpose(1, 2)
    given: list[Any] = [*layer.args, *[None, 1, 0, 1, 1][len(layer.args) - 2 :]]  # trailing defaults are not traced
    stride, padding, dilation, groups = given[3:]
    (rows, columns), (below, right), (row_step, column_step) = map(_pair, (stride, padding, dilation))
    height, width = weight.shape[2:]
    padded = F.pad(inputs, (right, right, below, below))
    tall = (padded.shape[2] - row_step * (height - 1) - 1) // rows + 1
    wide = (padded.shape[3] - column_step * (width - 1) - 1) // columns + 1
    places = torch.randperm(tall * wide, generator=torch.Generator().manual_seed(0))[:POSITIONS]
    top, start = places // wide * rows, places % wide * columns
    seen = [padded[:, :, top + row_step * y, start + column_step * x] for y in range(height) for x in range(width)]
    patches = torch.stack(seen, 2)  # photos, channels, weights of a channel, positions
    return patches.permute(1, 2, 0, 3).reshape(groups, weight[0].numel(), -1)


def _pair(value: Any) -> tuple[int, int]:
    """Return two sizes from an argument that is a number, or a list of one or two."""
    both = [value] if isinstance(value, int) else list(value)
    return both[0], both[-1]


def _bias(layer: Node) -> Node | None:
    """The bias of a layer; None where it has none."""
    bias = layer.args[2] if layer.target in LAYERS and len(layer.args) > 2 else None
    return bias if isinstance(bias, Node) and bias.op == "get_attr" else None


def _mean(layer: Node, output: Tensor) -> Tensor:
    """Mean of a layer's output over positions, where there are any: (N, C)."""
    if layer.target is LINEAR:
        return output.reshape(len(output), -1, output.shape[-1]).mean(1)
    return output.flatten(2).mean(2)
