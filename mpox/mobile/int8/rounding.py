"""Weights and biases for int8, one layer after the other: what rounding changes is made up for by what comes later.

Weights: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023,
here for convolutions of any kind. The weights of an output are rounded in turn, and the error that each leaves, on the
inputs that photos give, is taken up by those that follow. So the errors cancel instead of adding up.

Biases: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, the variant
that measures the shift of a channel's mean on photos; here the median shift over photos, which single odd ones do not
move.

Both see each layer's inputs as int8 leaves them, that is, behind all layers already done.
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
# Positions of a photo, drawn at random, at which a convolution's inputs are looked at.
POSITIONS = 128
# Weights of an output above which they are rounded to the nearest: their products would fill the memory.
MOST_WEIGHTS = 8192
# Added to the mean square of the inputs, as a share of its mean: GPTQ's own.
DAMPING = 0.01
# Weights that are rounded before their errors are handed on to all that follow, together.
BLOCK = 64


@torch.no_grad()
def round_layers(prepared: GraphModule, normalised_NCHW: Tensor, *, weights: bool) -> None:
    """Put the weights of a prepared network on their int8 steps (if `weights`) and correct its biases, on these photos.

    Ranges are known. One pass in float, then one in simulated int8, in which each layer is done before what follows it
    is run. Without `weights` they stay as they are, and count as rounded to the nearest.
    """
    set_mode(prepared, Mode.PASS)
    means = _Means(prepared)
    means.run(normalised_NCHW)
    set_mode(prepared, Mode.ROUND)
    _Rounding(prepared, means.found, weights).run(normalised_NCHW)
    set_mode(prepared, Mode.PASS)


def round_weights(weights_GRK: Tensor, steps_GR: Tensor, moments_GKK: Tensor) -> Tensor:
    """Return the weights as whole multiples (-127..127) of their `steps`, chosen in turn to change the outputs least.

    Of G groups of R outputs each, K weights an output; `moments` are the second moments of their inputs. Float32.
    """
    number = moments_GKK.shape[-1]
    power = moments_GKK.diagonal(dim1=1, dim2=2).mean(1).clamp(min=TINY)
    damped = moments_GKK.double() + DAMPING * power[:, None, None] * torch.eye(number)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    # Row k holds how the error of weight k is best made up for by the weights after it.
    share = torch.linalg.cholesky(inverse, upper=True).float()
    left, rounded = weights_GRK.clone(), torch.empty_like(weights_GRK)
    for start in range(0, number, BLOCK):
        block = slice(start, min(start + BLOCK, number))
        errors = torch.zeros_like(left[:, :, block])
        for k in range(block.start, block.stop):
            rounded[:, :, k] = (left[:, :, k] / steps_GR).round().clamp(-127, 127) * steps_GR
            error = (left[:, :, k] - rounded[:, :, k]) / share[:, k, k, None]
            left[:, :, k : block.stop] -= error[:, :, None] * share[:, None, k, k : block.stop]
            errors[:, :, k - start] = error
        left[:, :, block.stop :] -= errors @ share[:, block, block.stop :]
    return rounded


class _Means(Interpreter):
    """Mean of each layer's output, a photo and channel."""

    def __init__(self, prepared: GraphModule) -> None:
        super().__init__(prepared)
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        output = super().run_node(n)
        if n.target in LAYERS:
            self.found[n.name] = _mean(n, output)
        return output


class _Rounding(Interpreter):
    """Round each layer's weights; add to its bias what the output then lacks in the median photo, and to the output."""

    def __init__(self, prepared: GraphModule, means: dict[str, Tensor], weights: bool) -> None:
        super().__init__(prepared)
        self.means, self.weights = means, weights

    def run_node(self, n: Node) -> Any:
        if self.weights and n.target in LAYERS:
            self._round(n)
        output = super().run_node(n)
        bias = _bias(n)
        if bias is not None:
            lacking = (self.means[n.name] - _mean(n, output)).median(0).values
            self.fetch_attr(str(bias.target)).add_(lacking)
            output = output + (lacking if n.target is LINEAR else lacking.view(1, -1, *[1] * (output.ndim - 2)))
        return output

    def _round(self, layer: Node) -> None:
        """Round the weights in place, and hold their steps, where they are a layer's own and in int8."""
        source: Any = layer.args[0]
        observed: Any = layer.args[1]
        observer = self.submodules.get(observed.target) if observed.op == "call_module" else None
        if not isinstance(observer, WeightRange) or observer.held or str(observed.args[0].target).endswith(WINDOW):
            return
        weight = self.fetch_attr(str(observed.args[0].target))
        if weight[0].numel() > MOST_WEIGHTS:
            return
        products = _inputs(layer, self.env[source], weight)
        if _bias(layer) is not None:  # it will take back what changes the mean
            products = products - products.mean(2, keepdim=True)
        moments = products @ products.transpose(1, 2) / products.shape[2]
        apart = weight.reshape(len(products), -1, weight[0].numel())
        weight.copy_(round_weights(apart, observer.step.reshape(apart.shape[:2]), moments).reshape(weight.shape))
        observer.held = True
        self.env[observed] = weight


def _inputs(layer: Node, inputs: Tensor, weight: Tensor) -> Tensor:
    """What the layer's weights are multiplied by, at random positions of each photo: (groups, weights of an output, n).

    Every photo counts alike: its inputs are divided by their own root mean square.
    """
    photos = inputs.flatten(1).square().mean(1).clamp(min=TINY).sqrt()
    inputs = inputs / photos.view(-1, *[1] * (inputs.ndim - 1))
    if layer.target is LINEAR:
        return inputs.reshape(1, -1, weight.shape[1]).transpose(1, 2)
    given: list[Any] = [*layer.args, *[None, 1, 0, 1, 1][len(layer.args) - 2 :]]  # trailing defaults are not traced
    stride, padding, dilation, groups = given[3:]
    (rows, columns), (below, right), (apart, aside) = map(_pair, (stride, padding, dilation))
    height, width = weight.shape[2:]
    padded = F.pad(inputs, (right, right, below, below))
    tall = (padded.shape[2] - apart * (height - 1) - 1) // rows + 1
    wide = (padded.shape[3] - aside * (width - 1) - 1) // columns + 1
    places = torch.randperm(tall * wide, generator=torch.Generator().manual_seed(0))[:POSITIONS]
    top, start = places // wide * rows, places % wide * columns
    seen = [padded[:, :, top + apart * y, start + aside * x] for y in range(height) for x in range(width)]
    patches = torch.stack(seen, 2)  # photos, channels, weights of a channel, positions
    return patches.permute(1, 2, 0, 3).reshape(groups, weight[0].numel(), -1)


def _pair(value: Any) -> tuple[int, int]:
    """Two sizes, of an argument that is a number, or a list of one or two."""
    both = [value] if isinstance(value, int) else list(value)
    return both[0], both[-1]


def _bias(layer: Node) -> Node | None:
    """The bias of a layer, where it has one of its own."""
    bias = layer.args[2] if layer.target in LAYERS and len(layer.args) > 2 else None
    return bias if isinstance(bias, Node) and bias.op == "get_attr" else None


def _mean(layer: Node, output: Tensor) -> Tensor:
    """Mean of a layer's output over positions, where there are any: (N, C)."""
    if layer.target is LINEAR:
        return output.reshape(len(output), -1, output.shape[-1]).mean(1)
    return output.flatten(2).mean(2)
