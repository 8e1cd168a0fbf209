"""The layers of an `.onnx`: their arithmetic, and whether their sums fit into 16 bits. No PyTorch."""

from pathlib import Path

import numpy as np

from mpox.mobile.file.onnx_session import read_onnx

# Largest int8 weight, in steps, whose products with 8-bit activations fit in pairs into 16 bits.
LARGEST_WEIGHT = 64


def saturating_layers(path: Path) -> list[str]:
    """Return the names of the int8 layers whose sums of two products could exceed 16 bits.

    Processors without 8-bit dot products (VNNI) add the products of two neighbouring weights and 8-bit activations in
    16 bits, and clip what does not fit (vpmaddubsw of AVX2): 2 * 255 * 64 fits, 2 * 255 * 65 does not. Which weights
    are neighbours depends on the engine, so that none may be larger. Raises UserError for a file that cannot be read.
    """
    from onnx import numpy_helper

    graph = read_onnx(path).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    source = {output: node for node in graph.node for output in node.output}
    found = []
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul") and (weight := source.get(node.input[1])) is not None:
            if weight.op_type != "DequantizeLinear" or weight.input[0] not in tensors:
                continue
            values = numpy_helper.to_array(tensors[weight.input[0]]).astype("int32")
            if len(weight.input) > 2 and weight.input[2] in tensors:
                zero = numpy_helper.to_array(tensors[weight.input[2]]).astype("int32")
                values = values - zero.reshape(-1, *[1] * (values.ndim - 1) if zero.ndim else ())
            if np.abs(values).max() > LARGEST_WEIGHT:
                found.append(node.name)
    return found


def layers_of(path: Path) -> dict[str, int]:
    """Count the convolutions and linear layers of a file by their arithmetic: int8 where input and weights are."""
    graph = read_onnx(path).graph
    rounded = {output for node in graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    layers: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            kind = "int8" if set(node.input[:2]) <= rounded else "fp32"
            layers[kind] = layers.get(kind, 0) + 1
    return layers
