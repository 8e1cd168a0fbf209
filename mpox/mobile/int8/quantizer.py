"""Which operators are in int8, and in what units: XNNPACK's quantizer, with what it leaves out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationConfig,
    QuantizationSpec,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from mpox.mobile.int8.pooling import ATEN
from mpox.mobile.int8.ranges import ActivationRange, WeightRange
from mpox.mobile.int8.rounding import LAYERS
from mpox.mobile.int8.scaling import BETWEEN

CLAMPS = (ATEN.hardtanh.default, ATEN.hardtanh_.default, ATEN.relu6.default)
PADS = (ATEN.pad.default, ATEN.constant_pad_nd.default)
AVERAGES = (ATEN.adaptive_avg_pool2d.default, ATEN.mean.dim)


class PhoneQuantizer(XNNPACKQuantizer):
    """XNNPACK's quantizer, with ReLU6 fused to its convolution, pads in int8, and units of the network left in float.

    Unfused, a convolution's output is rounded in its range *before* the clamp, of which 0..6 is usually a small part
    (XNNPACK's quantizer fuses ReLU, but not ReLU6). Left alone, each pad would be a float island between two
    conversions. Outputs that are divided by their channel's range (`scale_channels`) need none below -1.
    """

    def __init__(self, config: QuantizationConfig, in_float: Callable[[Node], bool]) -> None:
        super().__init__()
        self.set_global(config)
        self.set_filter_function(lambda node: not in_float(node))
        self.config, self.in_float = config, in_float

    def annotate(self, model: GraphModule) -> GraphModule:
        """Annotate convolutions with a clamp after them as one, and pads; leave the rest to XNNPACK's quantizer."""
        for node in model.graph.nodes:
            if node.target in AVERAGES and self.in_float(node):  # else it would be rounded like its input
                node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(_annotated=True)
            if BETWEEN in node.meta:
                node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(_annotated=True)
        rounds_outputs = self.config.output_activation is not None  # with dynamic ranges there is nothing to fuse
        for after in model.graph.nodes:
            layer: Any = after.args[0] if after.args else None
            scaled = BETWEEN in after.meta and after.target is ATEN.mul.Tensor
            if not rounds_outputs or not (scaled or after.target in CLAMPS):
                continue
            if layer.target not in LAYERS or len(layer.users) > 1 or self.in_float(layer):
                continue
            inputs = {layer.args[0]: self.config.input_activation, layer.args[1]: self.config.weight}
            layer.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)
            layer.args[1].meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(_annotated=True)
            if scaled:
                layer.meta[Q_ANNOTATION_KEY].output_qspec = replace(
                    self.config.output_activation, observer_or_fake_quant_ctr=ActivationRange.with_args(lowest=-1.0)
                )
            else:
                after.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
                    output_qspec=self.config.output_activation, _annotated=True
                )
        for pad in model.graph.nodes:
            if rounds_outputs and _pads_with_zeros(pad) and not self.in_float(pad):
                inputs = {pad.args[0]: self.config.input_activation}
                same = SharedQuantizationSpec((pad.args[0], pad))  # zeros are in every range
                pad.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(inputs, same, _annotated=True)
        return super().annotate(model)


def _pads_with_zeros(node: Node) -> bool:
    """Whether a node is padding (as TensorFlow's "same" needs before strides) that XNNPACK can do in int8."""
    if node.target not in PADS:
        return False
    names = ("input", "pad", "mode", "value") if node.target is ATEN.pad.default else ("input", "pad", "value")
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    return given.get("mode", "constant") == "constant" and not given.get("value")


def static_config(weight_bits: int = 8) -> QuantizationConfig:
    """Return the configuration of int8_static: ActivationRange for each tensor, WeightRange for each channel."""
    largest = 2 ** (weight_bits - 1) - 1
    activation = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
        observer_or_fake_quant_ctr=ActivationRange,
    )
    weight = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-largest,
        quant_max=largest,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        observer_or_fake_quant_ctr=WeightRange,
    )
    return QuantizationConfig(activation, activation, weight, None, False)
