"""The same network for onnxruntime: float32, or int8 in QDQ form; inputs and outputs as in the `.pte`, any batch size.

The facts of a file are in its metadata: entry `mpox`, the `.pte`'s constant methods and their values as JSON. The class
maps are computed by nodes that lead to no output, which runtimes drop: `onnx_session.with_maps` makes them an output.
"""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpox.errors import UserError
from mpox.files import replacing
from mpox.mobile.file.contract import Facts, constants
from mpox.mobile.file.network import ExplainMethod, ForwardMethod, PhoneNetwork
from mpox.mobile.file.onnx_layers import saturating_layers
from mpox.mobile.file.onnx_session import FACTS, INPUT, MAPS, MAPS_INSIDE, OUTPUT, run_file
from mpox.mobile.file.tracing import without_stack_traces
from mpox.temporary import scratch

# The opset that PyTorch's exporter writes without conversion.
OPSET = 18
ONNX_RECIPES = ("fp32", "int8_static")
# Largest share of the largest logit by which the file may differ from its network.
TOLERANCE = 1e-3


def export_onnx(network: PhoneNetwork, path: Path, facts: Facts, *, recipe: str = "fp32") -> dict[str, Any]:
    """Write `network` as `path`, compare the file in onnxruntime with the network, and return the findings.

    For int8 the network's layers are in int8 already (`mpox.mobile.int8.quantize.Calibrated.converted`). Returns
    `opset`, `recipe`, `size_bytes`, `operators` (count by type) and, of a float file, `float_difference` (of its logits
    to PyTorch's, as a share of the largest). Raises UserError for an unknown recipe, a float file whose logits are not
    the network's (int8 is verified on held-out photos), and an int8 file with a layer that could saturate.
    """
    if recipe not in ONNX_RECIPES:
        raise UserError(f"format=onnx has no recipe={recipe}: choose {' or '.join(ONNX_RECIPES)}")
    with scratch() as folder:
        made = folder / path.name
        module = _write(network, made, facts.rule.temperature)
        difference = None
        if recipe == "fp32":
            difference = _difference(module, made, network.image_size)
            if difference > TOLERANCE:
                raise UserError(
                    f"{facts.model} as ONNX differs from PyTorch by {difference:.2g} of its largest logit: "
                    "take format=pte, and report the model"
                )
        else:
            _use_unsigned_activations(made)
            if layers := saturating_layers(made):
                raise UserError(
                    f"{len(layers)} int8 layers of the file could saturate on processors without 8-bit dot products "
                    f"(first: {layers[0]}): round their weights to 7 bits"
                )
        operators = _label(made, facts)
        with replacing(path) as temporary:
            temporary.write_bytes(made.read_bytes())
    return {
        "opset": OPSET,
        "recipe": recipe,
        "size_bytes": path.stat().st_size,
        "operators": operators,
        "float_difference": difference,
    }


def _write(network: PhoneNetwork, path: Path, temperature: float) -> ForwardMethod:
    """Write the file, whose outputs are logits and, where the network has them, maps; return what gives the logits."""
    forward = ForwardMethod(network, temperature)
    module = ExplainMethod(network, temperature) if network.has_maps else forward
    size = network.image_size
    # Two photos: with one, the exporter would fix the batch size at one.
    example = (torch.rand(2, 3, size, size) * 255,)
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    with warnings.catch_warnings(), torch.no_grad(), without_stack_traces():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            path,
            input_names=[INPUT],
            output_names=[OUTPUT, MAPS] if network.has_maps else [OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},),
            external_data=False,
            verbose=False,
        )
    return forward


def _difference(module: ForwardMethod, path: Path, size: int) -> float:
    """Largest difference of the logits of three noise photos (another batch size), as a share of the largest logit."""
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0)) * 255
    with torch.no_grad():
        expected = module(images).numpy()
    given = run_file(path, images.numpy())
    return float(np.abs(given - expected).max() / max(1e-6, np.abs(expected).max()))


def _use_unsigned_activations(path: Path) -> None:
    """Turn 8-bit activations from signed to unsigned, of the same values: onnxruntime has fast kernels for these."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    rounded = {node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    zeros = {
        node.input[2]
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" or (node.op_type == "DequantizeLinear" and node.input[0] in rounded)
    }
    for name in zeros:
        zero = numpy_helper.to_array(tensors[name]).astype("int32") + 128
        tensors[name].CopyFrom(numpy_helper.from_array(zero.astype("uint8"), name))
    del model.graph.value_info[:]  # they name the old type
    onnx.save(model, path)


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
    if maps := [output for output in model.graph.output if output.name == MAPS]:
        model.graph.value_info.append(maps[0])
        model.graph.output.remove(maps[0])
        entry = model.metadata_props.add()
        entry.key, entry.value = MAPS_INSIDE, MAPS
    model.doc_string = facts.model
    _drop_traces(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    operators: dict[str, int] = {}
    for node in model.graph.node:
        operators[node.op_type] = operators.get(node.op_type, 0) + 1
    return dict(sorted(operators.items()))
