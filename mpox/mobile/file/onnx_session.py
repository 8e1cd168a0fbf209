"""A `.onnx` opened in onnxruntime, and the names of its input, outputs and metadata. No PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np

from mpox.errors import UserError, reason_of

# The entry of the file's metadata with its facts, under the names of the `.pte`'s constant methods.
FACTS = "mpox"
# The entry of a file that computes maps inside, which are no output of it: loaders of classifiers expect one.
MAPS_INSIDE = "mpox_maps"
INPUT, OUTPUT, MAPS = "image", "logits", "maps"


def run_file(path: Path, images_NCHW: np.ndarray) -> np.ndarray:
    """Return logits_NC, with the temperature in them, of any number of photos (float32, 0..255) in one run."""
    (logits,) = open_session(path, 1).run([OUTPUT], {INPUT: images_NCHW})
    return np.asarray(logits)


def open_session(path: Path, threads: int, *, precise: bool = False, maps: bool = False) -> Any:
    """Load a file into onnxruntime on the processor. Raises UserError for one that is missing or broken.

    `maps`: with its maps as a second output (`with_maps`). `precise`: with kernels that cannot saturate, slower where
    the processor has no 8-bit dot products.
    """
    import onnxruntime

    if not path.is_file():
        raise UserError(f"no ONNX file at {path}: export the model with format=onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        source = with_maps(path) if maps else path
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise UserError(f"{path} cannot be loaded ({reason_of(error)}): export the model again") from error


def read_onnx(path: Path) -> Any:
    """Return a file as onnx's own message. Raises UserError for one that cannot be read."""
    import onnx

    try:
        return onnx.load(path)
    except Exception as error:  # protobuf's exceptions share no base class
        raise UserError(f"{path} cannot be read as ONNX ({reason_of(error)}): export the model again") from error


def with_maps(path: Path) -> bytes:
    """Return a file's bytes with the class maps that it computes inside, where it does, as the output after the logits.

    Raises UserError for a file that cannot be read.
    """
    model = read_onnx(path)
    model.graph.output.extend(value for value in model.graph.value_info if value.name == MAPS)
    content: bytes = model.SerializeToString()
    return content
