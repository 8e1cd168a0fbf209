"""Near-duplicates in place: the same picture, perhaps flipped, turned by right angles, recoloured, noisy or rescaled.

Two signals must agree: a perceptual hash (phash of imagehash: signs of the low frequencies of a cosine transform), and
the correlation of the pixels once the flip or turn that the hash names is undone.
"""

from collections.abc import Iterator

import imagehash
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

# The eight flips and turns of a square: a number k stands for k % 4 quarter turns, mirrored first where k >= 4.
VARIANTS = 8
# Rows compared at once: bounds memory to BLOCK x N x 8 bytes.
BLOCK = 256
# sd, in pixels of the thumbnail, of the blur that is taken off: light that falls from one side is no likeness.
LIGHT_SD = 8.0


def variant(picture: np.ndarray, k: int) -> np.ndarray:
    """Return flip or turn `k` (0..7) of a picture (H, W)."""
    return np.rot90(picture[:, ::-1] if k >= 4 else picture, k % 4)


def hashes(thumbs: np.ndarray) -> np.ndarray:
    """Return the 64-bit phash of each variant of each thumbnail (N, S, S) uint8 as (N, 8) uint64."""
    out = np.empty((len(thumbs), VARIANTS), np.uint64)
    for row, thumb in enumerate(thumbs):
        for k in range(VARIANTS):
            bits = imagehash.phash(Image.fromarray(np.ascontiguousarray(variant(thumb, k)))).hash
            out[row, k] = np.packbits(bits.ravel()).view(">u8")[0]
    return out


def hash_pairs(hashes_N8: np.ndarray, distance: int) -> Iterator[tuple[int, int, int, int]]:  # noqa: N803
    """Yield (i, j, k, bits): photo i < j, and variant k of j differs from i in the fewest bits, `distance` at most.

    Every two photos are compared, but a comparison is a few machine instructions (20,000 photos: see docs/curation.md).
    """
    for start in range(0, len(hashes_N8), BLOCK):
        plain = hashes_N8[start : start + BLOCK, 0]
        bits = np.bitwise_count(plain[:, None, None] ^ hashes_N8[None, start:]).astype(np.uint8)
        best = bits.argmin(2)
        least = np.take_along_axis(bits, best[..., None], 2)[..., 0]
        for i, j in np.argwhere(least <= distance):
            if i < j:
                yield start + int(i), start + int(j), int(best[i, j]), int(least[i, j])


def flatten_light(thumbs: np.ndarray) -> np.ndarray:
    """Take slow changes of light off thumbnails (N, S, S) uint8 and scale each to mean 0, norm 1 (float32).

    A thumbnail without any structure becomes 0, so it correlates with nothing.
    """
    values = thumbs.astype(np.float32)
    values -= gaussian_filter(values, (0, LIGHT_SD, LIGHT_SD))
    values -= values.mean((1, 2), keepdims=True)
    norm = np.sqrt(np.square(values).sum((1, 2), keepdims=True))
    return np.divide(values, norm, out=np.zeros_like(values), where=norm > values.shape[1])


def correlation_in_place(a: np.ndarray, b: np.ndarray, k: int) -> float:
    """Return the correlation (-1..1) of two flattened thumbnails (S, S), variant `k` of the second."""
    return float((a * variant(b, k)).sum())
