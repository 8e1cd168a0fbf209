"""The working picture, pixel by pixel, against the arithmetic that docs/reference/working_picture.md gives to apps."""

import math

import numpy as np
import pytest
from PIL import Image

from mpox.data.working_picture import ONE_STEP, box_side, square

REACH = {"bilinear": 1, "bicubic": 2}


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


def weight(name: str, x: float) -> float:
    x = abs(x)
    if name == "bilinear":
        return max(0.0, 1 - x)
    return (1.5 * x - 2.5) * x * x + 1 if x < 1 else (((x - 5) * x + 8) * x - 4) * -0.5 if x < 2 else 0.0


def filtered(rows: np.ndarray, size: int, name: str) -> np.ndarray:
    """(rows, n, 3) to (rows, size, 3), in whole numbers."""
    n = rows.shape[1]
    scale = n / size
    reach = max(scale, 1.0)
    out = np.empty((len(rows), size, 3), np.int64)
    for k in range(size):
        centre = (k + 0.5) * scale
        low = max(0, math.trunc(centre - REACH[name] * reach + 0.5))
        high = min(n, math.trunc(centre + REACH[name] * reach + 0.5))
        weights = [weight(name, (j - centre + 0.5) * (1 / reach)) for j in range(low, high)]
        whole = [math.trunc(one / sum(weights) * 2**22 + math.copysign(0.5, one)) for one in weights]
        out[:, k] = (2**21 + np.tensordot(rows[:, low:high], np.array(whole), (1, 0))) >> 22
    return out.clip(0, 255)


def by_the_contract(photo: Image.Image, size: int, name: str) -> np.ndarray:
    pixels = np.asarray(photo, np.int64)
    height, width = pixels.shape[:2]
    k = 1
    while min(width, height) // (2 * k) >= 2 * size:
        k *= 2
    side = min(width, height) // k * k
    left, top = (width - side) // 2, (height - side) // 2
    blocks = pixels[top : top + side, left : left + side].reshape(side // k, k, side // k, k, 3)
    reduced = (blocks.sum((1, 3)) + k * k // 2) // (k * k)
    return filtered(filtered(reduced, size, name).transpose(1, 0, 2), size, name).transpose(1, 0, 2)


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("width", "height", "k"),
    [(40, 30, 1), (63, 90, 1), (64, 64, 2), (131, 97, 2), (137, 150, 4), (403, 301, 8), (10, 12, 1)],
)
def test_pixels_are_those_of_the_contract(width: int, height: int, k: int, name: str) -> None:
    photo = noise(width, height)
    assert box_side(width, height, 16) == k
    assert np.array_equal(square(photo, 16, name), by_the_contract(photo, 16, name))


def test_in_one_step_and_below_the_gap_only_the_filter_is_applied() -> None:
    large, small = noise(300, 200), noise(90, 63)
    for photo, side, made in ((large, 200, square(large, 16, "bicubic", ONE_STEP)), (small, 63, None)):
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        cropped = photo.crop((left, top, left + side, top + side))
        expected = np.asarray(cropped.resize((16, 16), Image.Resampling.BICUBIC))
        assert np.array_equal(square(photo, 16, "bicubic") if made is None else made, expected)
    assert not np.array_equal(square(large, 16, "bicubic"), square(large, 16, "bicubic", ONE_STEP))


def test_grey_strip_is_not_distorted() -> None:
    assert (square(Image.new("RGB", (10, 300), (90, 90, 90)), 8, "bilinear") == 90).all()
    assert (square(Image.new("RGB", (100, 300), (90, 90, 90)), 8, "bilinear") == 90).all()
