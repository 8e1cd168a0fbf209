"""The operators of an exported file, read back from its bytes: which ones, in which arithmetic, on which backend.

A file's name proves nothing: an exporter that finds no pattern to quantize leaves a float graph under an int8 name.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
from executorch.exir._serialize._flatbuffer import _flatc_decompile
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.exir.schema import DelegateCall, Program

from mpox.temporary import scratch

# XNNPACK's operators with weights; the others only move or combine the outputs of these.
WEIGHTED = ("XNNConv2d", "XNNDepthwiseConv2d", "XNNFullyConnected", "XNNConvTranspose2d")
# Between float and int8, or two ranges of int8.
CONVERSION = "XNNConvert"
ARITHMETIC = {"qint8": "int8", "qcint8": "int8", "qdint8": "int8_dynamic", "qpint8": "int8_dynamic", "fp32": "fp32"}
ARITHMETIC |= {"fp16": "fp16", "pfp32": "fp32"}


@dataclass(frozen=True)
class OperatorCounts:
    """The operators of one method of a file.

    `layers` counts convolutions and linear layers by the arithmetic of their input (int8, int8_dynamic, fp32, fp16);
    `weights` by that of their weights; empty where the backend is not XNNPACK. `conversions` counts the changes between
    float and int8 in it. `operators` counts those that a delegate runs, `portable` those that ExecuTorch's own kernels
    run, by name.
    """

    backend: str
    delegates: int
    layers: dict[str, int]
    weights: dict[str, int]
    conversions: int
    operators: int
    portable: dict[str, int]

    @property
    def delegated(self) -> float:
        """Share (0..1) of the operators that a delegate runs."""
        return self.operators / max(1, self.operators + sum(self.portable.values()))


def count_operators(path: Path, method: str = "forward") -> OperatorCounts:
    """Read one method of a `.pte` file that `mpox.mobile.file.lower` wrote."""
    program = deserialize_pte_binary(path.read_bytes()).program
    plan = next(plan for plan in program.execution_plan if plan.name == method)
    calls = [one.instr_args for chain in plan.chains for one in chain.instructions]
    portable = Counter(plan.operators[call.op_index].name for call in calls if hasattr(call, "op_index"))
    delegates = [plan.delegates[call.delegate_index] for call in calls if isinstance(call, DelegateCall)]
    backend = delegates[0].id if delegates else "portable"
    layers, weights, conversions, operators = Counter[str](), Counter[str](), 0, 0
    for delegate in delegates:
        if delegate.id != "XnnpackBackend":
            operators += 1  # only that backend can read what is inside
            continue
        graph = _xnnpack_graph(_payload(program, delegate.processed.index))
        operators += len(graph["xnodes"])
        conversions += sum(node["xnode_union_type"].strip("_") == CONVERSION for node in graph["xnodes"])
        for of_input, of_weights in _weighted(graph):
            layers[of_input] += 1
            weights[of_weights] += 1
    counts = dict(layers), dict(weights)
    return OperatorCounts(backend, len(delegates), *counts, conversions, operators, dict(portable))


def _payload(program: Program, index: int) -> bytes:
    return bytes(program.backend_delegate_data[index].data)


def _xnnpack_graph(payload: bytes) -> dict[str, Any]:
    header = XNNHeader.from_bytes(payload[: XNNHeader.EXPECTED_LENGTH])
    flatbuffer = payload[header.flatbuffer_offset : header.flatbuffer_offset + header.flatbuffer_size]
    schema = resources.files("executorch.backends.xnnpack.serialization") / "schema.fbs"
    with scratch() as folder, resources.as_file(schema) as path:
        (folder / "graph.bin").write_bytes(flatbuffer)
        _flatc_decompile(str(folder), str(path), str(folder / "graph.bin"), ["--raw-binary"])
        text = (folder / "graph.json").read_text()
        # flatc writes a missing limit as inf, which is not valid JSON.
        graph: dict[str, Any] = json.loads(re.sub(r": \+?(-?)inf\b", r": \1Infinity", text))
        return graph


def _weighted(graph: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Arithmetic of each layer's input and of its weights."""
    types = {}
    for value in graph["xvalues"]:
        tensor = value["xvalue_union"]
        tensor = tensor.get("tensor_value", tensor)
        types[tensor["id_out"]] = ARITHMETIC.get(tensor["datatype"].removeprefix("xnn_datatype_"), tensor["datatype"])
    for node in graph["xnodes"]:
        if node["xnode_union_type"].strip("_") in WEIGHTED:
            inputs = node["xnode_union"]
            yield types[inputs["input1_id"]], types[inputs["filter_id"]]
