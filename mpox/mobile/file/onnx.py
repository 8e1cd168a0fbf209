"""The same network for onnxruntime: float32, or int8 in QDQ form; inputs and outputs as in the `.pte`, any batch size.

The facts of a file are in its metadata: entry `mpox`, the `.pte`'s constant methods and their values as JSON.
"""

import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpox.errors import UserError
from mpox.files import replacing
from mpox.mobile.file.contract import Facts, constants
from mpox.mobile.file.network import ForwardMethod, PhoneNetwork
from mpox.mobile.file.onnx_session import FACTS, INPUT, OUTPUTS, run_file
from mpox.temporary import scratch

# The opset that PyTorch's exporter writes without conversion.
OPSET = 18
ONNX_RECIPES = ("fp32", "int8_static")
# Largest share of the largest logit by which the file may differ from its network.
TOLERANCE = 1e-3


def export_onnx(
    network: PhoneNetwork,
    path: Path,
    facts: Facts,
    *,
    recipe: str = "fp32",
    photos_NCHW: Tensor | None = None,
) -> dict[str, Any]:
    """Write `network` as `path`, compare the file in onnxruntime with the network, and return the findings.

    `photos_NCHW` (float32, 0..255) are *training* photos: int8 takes its ranges from them, and needs two or more.
    Returns `opset`, `recipe`, `size_bytes`, `operators` (count by type) and `float_difference` (of the float file's
    logits to PyTorch's, as a share of the largest). Raises UserError for an unknown recipe, too few photos, or a float
    file whose logits are not the network's (int8 is verified on held-out photos, as every recipe is).
    """
    if recipe not in ONNX_RECIPES:
        raise UserError(f"format=onnx has no recipe={recipe}: choose {' or '.join(ONNX_RECIPES)}")
    if recipe != "fp32" and (photos_NCHW is None or len(photos_NCHW) < 2):
        raise UserError("calibration.photos is too small to choose a range: give 16 or more")
    with scratch() as folder:
        plain = folder / "fp32.onnx"
        module = _write(network, plain, facts.rule.temperature)
        difference = _difference(module, plain, network.image_size)
        if difference > TOLERANCE:
            raise UserError(
                f"{facts.model} as ONNX differs from PyTorch by {difference:.2g} of its largest logit: "
                "take format=pte, and report the model"
            )
        final = plain
        if recipe != "fp32":
            assert photos_NCHW is not None
            final = folder / "int8.onnx"
            _quantize(plain, final, photos_NCHW.numpy())
        operators = _label(final, facts)
        with replacing(path) as temporary:
            temporary.write_bytes(final.read_bytes())
    return {
        "opset": OPSET,
        "recipe": recipe,
        "size_bytes": path.stat().st_size,
        "operators": operators,
        "float_difference": difference,
    }


def layers_of(path: Path) -> dict[str, int]:
    """Count the convolutions and linear layers of a file by their arithmetic: int8 where input and weights are."""
    import onnx

    graph = onnx.load(path).graph
    rounded = {output for node in graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    layers: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            kind = "int8" if set(node.input[:2]) <= rounded else "fp32"
            layers[kind] = layers.get(kind, 0) + 1
    return layers


def _write(network: PhoneNetwork, path: Path, temperature: float) -> ForwardMethod:
    module = ForwardMethod(_contiguous(network), temperature).eval()
    size = network.image_size
    # Two photos: with one, the exporter would fix the batch size at one.
    example = (torch.rand(2, 3, size, size) * 255,)
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            path,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},),
            external_data=False,
            verbose=False,
        )
    return module


def _contiguous(network: PhoneNetwork) -> PhoneNetwork:
    return network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def _difference(module: ForwardMethod, path: Path, size: int) -> float:
    """Largest difference of the logits of three noise photos (another batch size), as a share of the largest logit."""
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0)) * 255
    with torch.no_grad():
        expected = module(images)[1].numpy()
    given = run_file(path, images.numpy())[1]
    return float(np.abs(given - expected).max() / max(1e-6, np.abs(expected).max()))


def _quantize(source: Path, target: Path, photos: np.ndarray) -> None:
    """Int8 weights a channel, int8 activations in the mean range of the photos; the head stays in float."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as quantize
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.photos: Iterator[np.ndarray] = iter(photos[:, None])

        def get_next(self) -> dict[str, np.ndarray] | None:
            photo = next(self.photos, None)
            return None if photo is None else {INPUT: photo}

    logging.getLogger().setLevel(max(logging.WARNING, logging.getLogger().level))
    prepared = source.with_name("prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize(
        prepared,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=_head(prepared),
        extra_options={"ActivationSymmetric": False, "CalibMovingAverage": True},
    )


def _head(path: Path) -> list[str]:
    """Names of the last layer with weights and of all nodes after it: they give the outputs, and stay in float."""
    import onnx

    nodes = list(onnx.load(path).graph.node)
    producer = {output: node for node in nodes for output in node.output}
    found, wanted = {}, [producer[name] for name in OUTPUTS]
    while wanted:
        node = wanted.pop()
        found[node.name] = node
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            wanted += [producer[name] for name in node.input if name in producer]
    return list(found)


def _drop_traces(graph: Any) -> None:
    """Remove the exporter's notes on each node: the source lines it comes from, with this machine's paths."""
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def _label(path: Path, facts: Facts) -> dict[str, int]:
    """Write the file's facts into its metadata; return its operators, counted by type."""
    import onnx

    model = onnx.load(path)
    entry = model.metadata_props.add()
    entry.key, entry.value = FACTS, json.dumps(constants(facts), ensure_ascii=False)
    model.doc_string = facts.model
    _drop_traces(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    operators: dict[str, int] = {}
    for node in model.graph.node:
        operators[node.op_type] = operators.get(node.op_type, 0) + 1
    return dict(sorted(operators.items()))
