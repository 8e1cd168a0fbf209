"""The working picture: the centre square of a photo, resized to the side that a network takes.

This is the one definition: training, evaluation, predictions, exported files and apps follow it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# How the square is resized: by the antialiased filter alone, as networks of earlier versions were trained; or by a box
# first, so that a phone has a ninth of the work, and little of it in floating point.
ONE_STEP, TWO_STEP = "one_step", "two_step"
RESIZES = (ONE_STEP, TWO_STEP)
# The box leaves at least this many times the working side, for the filter to choose from.
GAP = 2


def resize_of(recorded: Mapping[str, Any]) -> str:
    """Return how pictures are resized by what a file or a run's configuration records; earlier ones do not say."""
    return str(recorded.get("resize", ONE_STEP))


def box_side(width: int, height: int, size: int, resize: str = TWO_STEP) -> int:
    """Return k: blocks of k x k pixels are averaged before the filter; a power of two, 1 where nothing is.

    The largest that leaves `GAP` times `size` pixels of the shorter side.
    """
    return largest_halving(min(width, height), GAP * size) if resize == TWO_STEP else 1


def largest_halving(side: int, least: int) -> int:
    """Return the largest power of two by which a side in pixels can be divided and keep `least`; 1 where none does."""
    k = 1
    while side // (2 * k) >= least:
        k *= 2
    return k


def centre_square(width: int, height: int, k: int = 1) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the centre square, whose side is the largest multiple of k that fits."""
    side = min(width, height) // k * k
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def square(photo: Image.Image, size: int, interpolation: str, resize: str = TWO_STEP) -> np.ndarray:
    """Return the working picture of an upright sRGB photo, (size, size, 3) uint8.

    Cut out the centre square; average blocks of `box_side` pixels a side, sum + half of their number divided by it,
    rounded down; then the antialiased filter, horizontally and vertically, each rounded to whole values.
    """
    # Not `resize(box=…)`: its filter reaches over the box's edge, which no phone's crop-then-resize would do.
    return np.asarray(boxed(photo, size, resize).resize((size, size), FILTERS[interpolation]))


def boxed(photo: Image.Image, size: int, resize: str = TWO_STEP) -> Image.Image:
    """Return the centre square of a photo as the filter is given it: blocks of `box_side` pixels a side averaged."""
    k = box_side(photo.width, photo.height, size, resize)
    cropped = photo.crop(centre_square(photo.width, photo.height, k))
    return cropped.reduce(k) if k > 1 else cropped
