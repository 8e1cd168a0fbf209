"""The input tensor of an exported file: planes of floats, or the bytes of a bitmap."""

from typing import Any

import numpy as np

from mpox.errors import UserError

# Values of the option `input=` and of a file's constant method `input`.
PLANES, PIXELS = "float32_nchw", "uint8_nhwc"
FORMS = (PLANES, PIXELS)


def input_shape(form: str, size: int) -> tuple[int, ...]:
    """Return the shape of one photo of side `size` in this form, batch dimension included."""
    return (1, 3, size, size) if form == PLANES else (1, size, size, 3)


def as_input(images: np.ndarray, size: int, form: str = PLANES) -> np.ndarray:
    """Return working pictures as files of this form take them: float32 (N, 3, S, S), or uint8 (N, S, S, 3), contiguous.

    images: RGB, 0..255, uint8 or float32 (rounded for bytes), (N, S, S, 3) or (N, 3, S, S), or one without N; S is
    `size`. Raises UserError for anything else.
    """
    batch = images[None] if images.ndim == 3 else images
    if batch.ndim == 4 and batch.shape[-1] == 3 and batch.shape[1] != 3:
        batch = batch.transpose(0, 3, 1, 2)
    if batch.ndim != 4 or batch.shape[1:] != (3, size, size):
        raise UserError(f"images of shape {images.shape} do not fit: give RGB of {size}x{size} pixels")
    if batch.dtype != np.uint8 and (batch.min() < 0 or 0 < batch.max() <= 1 or batch.max() > 255):
        span = f"{batch.min():.3g}..{batch.max():.3g}"
        raise UserError(f"images hold {span}: give RGB values 0..255; the file normalises them itself")
    if form == PLANES:
        return np.ascontiguousarray(batch, dtype=np.float32)
    return np.ascontiguousarray(np.rint(batch.transpose(0, 2, 3, 1)), dtype=np.uint8)


def described(form: str, size: int) -> dict[str, Any]:
    """Return the tensor's description in contract.json."""
    layout = {
        PLANES: "NCHW: all of R, then all of G, then all of B, rows from the top, each from the left",
        PIXELS: "NHWC: R, G, B of one pixel after the other, rows from the top, each from the left; no alpha",
    }
    value = {"dtype": "float32", "range": [0.0, 255.0]} if form == PLANES else {"dtype": "uint8", "range": [0, 255]}
    return {"name": "image", "shape": list(input_shape(form, size)), "layout": layout[form], **value}


def instructions(form: str) -> list[str]:
    """Return the last steps of preprocessing as text: from RGB pixels to the tensor."""
    if form == PIXELS:
        return [
            "Order the channels R, G, B, not B, G, R, without alpha, pixel after pixel (NHWC).",
            "Give the bytes as they are, uint8 from 0 to 255. The file converts and normalises them.",
        ]
    return [
        "Order the channels R, G, B, not B, G, R, and store them one after the other (NCHW).",
        "Give the values as float32 from 0 to 255. Do not scale or normalise them: the file does.",
    ]
