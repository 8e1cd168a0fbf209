"""A `.onnx` opened in onnxruntime, and the names of its input, outputs and metadata. No PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np

from mpox.errors import UserError, reason_of

# The entry of the file's metadata with its facts, under the names of the `.pte`'s constant methods.
FACTS = "mpox"
INPUT, OUTPUT = "image", "logits"


def run_file(path: Path, images_NCHW: np.ndarray) -> np.ndarray:
    """Return logits_NC, with the temperature in them, of any number of photos (float32, 0..255) in one run."""
    (logits,) = open_session(path, 1).run([OUTPUT], {INPUT: images_NCHW})
    return np.asarray(logits)


def open_session(path: Path, threads: int, *, precise: bool = False) -> Any:
    """Load a file into onnxruntime on the processor. Raises UserError for one that is missing or broken.

    `precise`: with kernels that cannot saturate, slower where the processor has no 8-bit dot products.
    """
    import onnxruntime

    if not path.is_file():
        raise UserError(f"no ONNX file at {path}: export the model with format=onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise UserError(f"{path} cannot be loaded ({reason_of(error)}): export the model again") from error
