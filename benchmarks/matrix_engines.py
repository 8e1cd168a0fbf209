"""The engines of `benchmarks.export_matrix`: each runs a file on photos, and says what a photo costs there."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mpox.mobile.export.arm_check import CORES
from mpox.mobile.file.input_tensor import as_input
from mpox.mobile.run.measure import opener, ratio, side_by_side
from mpox.mobile.run.onnx_model import OnnxModel
from mpox.mobile.run.runtime import PhoneModel
from mpox.mobile.run.web_engine import web_engine
from mpox.mobile.sdk.program import answer, count, plugin
from mpox.mobile.sdk.tools import arm64
from mpox.runs.processor import processor_facts

# From a file and pixels (N, S, S, 3) uint8 to its answers: `outputs`, logits (N, C) with the temperature in them.
Engine = Callable[[Path, np.ndarray], dict[str, Any]]
ROUNDS = 5


def _program(file: Path, pixels: np.ndarray) -> dict[str, Any]:
    model = PhoneModel(file, threads=1)
    return {"outputs": (model.logits(pixels) / model.temperature).tolist()}


def _arm(core: str, file: Path, pixels: np.ndarray) -> dict[str, Any]:
    target = arm64()
    tensors = PhoneModel(file, threads=1).as_input(pixels)
    found = answer(target, file, tensors, cpu=CORES[core])
    counted = count(target, file, tensors[:1], cpu=CORES[core], plugin=plugin(target)).instructions
    return {"outputs": found.outputs.tolist(), "instructions": counted, "heap_bytes": found.heap_bytes}


def _onnx(precise: bool, file: Path, pixels: np.ndarray) -> dict[str, Any]:
    model = OnnxModel(file, precise=precise)
    return {"outputs": (model.logits(pixels) / model.temperature).tolist()}


def _web(file: Path, pixels: np.ndarray) -> dict[str, Any]:
    engine = web_engine()
    outputs = engine.logits(file, as_input(pixels, pixels.shape[1]))
    return {"outputs": outputs.tolist(), "version": engine.version}


ENGINES: dict[str, Engine] = {
    "executorch": _program,
    **{f"arm {core}": partial(_arm, core) for core in CORES},
    "onnxruntime": partial(_onnx, False),
    "onnxruntime precise": partial(_onnx, True),
    "web": _web,
}
ONNX_ENGINES = ("onnxruntime", "onnxruntime precise", "web")
TIMED = ("executorch", "onnxruntime")


def against(file: Path, reference: Path) -> dict[str, Any]:
    """Latency of a file as a share of the reference's, in interleaved runs, one thread, and the processor."""
    taken = side_by_side({"fp32": opener(reference), "file": opener(file)}, threads=1, rounds=ROUNDS)
    return {
        "against_fp32": ratio(taken["file"]["round_ms"], taken["fp32"]["round_ms"]),
        "ms": taken["file"]["median_ms"],
        "processor": processor_facts(threads=1),
    }
