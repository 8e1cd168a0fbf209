"""Near-duplicates in place: the same picture, perhaps flipped, turned by right angles, recoloured, noisy or rescaled.

Two signals must agree: a perceptual hash (phash of imagehash: signs of the low frequencies of a cosine transform), and
the correlation of the pixels once the flip or turn that the hash names is undone.
"""

from collections.abc import Iterator

import cv2
import imagehash
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from mpox.curation.nearest import EXHAUSTIVE, codes_within

# The eight flips and turns of a square: a number k stands for k % 4 quarter turns, mirrored first where k >= 4.
VARIANTS = 8
# Photos handled at once: bounds memory.
BLOCK = 256
# sd, in pixels of the thumbnail, of what is removed: noise below, uneven light above.
NOISE_SD, LIGHT_SD = 1.0, 8.0
# Grey levels (0..255) of padding, JPEG noise allowed for.
DARKEST, LIGHTEST = 8, 250
# Share of the thumbnail that two photos must both show, and grey levels squared of structure there, to be compared.
MIN_SHARE, MIN_VARIANCE = 0.3, 2.0


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


def hash_pairs(hashes_N8: np.ndarray, distance: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (i, j, k, bits): photo i < j, and variant k of j differs from i in the fewest bits, `distance` at most.

    Nothing is missed, by either way of comparing (`mpox.curation.nearest`).
    """
    find = _by_index if len(hashes_N8) > EXHAUSTIVE else _every_two
    yield from find(np.ascontiguousarray(hashes_N8), distance)


def _every_two(hashes_N8: np.ndarray, distance: int) -> Iterator[tuple[int, int, int, int]]:
    variants = np.ascontiguousarray(hashes_N8.T)
    for start in range(0, len(hashes_N8), BLOCK):
        plain = variants[0, start : start + BLOCK, None]
        least = np.bitwise_count(plain ^ variants[0, None, start:])
        best = np.zeros_like(least)
        for k in range(1, VARIANTS):
            bits = np.bitwise_count(plain ^ variants[k, None, start:])
            best[bits < least] = k
            np.minimum(least, bits, out=least)
        for i, j in np.argwhere(least <= distance):
            if i < j:
                yield start + int(i), start + int(j), int(best[i, j]), int(least[i, j])


def _by_index(hashes_N8: np.ndarray, distance: int) -> Iterator[tuple[int, int, int, int]]:
    for query, i, bits in codes_within(np.ascontiguousarray(hashes_N8[:, 0]), hashes_N8.ravel(), distance):
        j, k = np.divmod(query, VARIANTS)  # a photo's variants come in one block
        order = np.lexsort((k, bits, j, i))  # of each pair the variant of fewest bits first
        order = order[i[order] < j[order]]
        _, first = np.unique(i[order] * len(hashes_N8) + j[order], return_index=True)
        for row in order[first]:
            yield int(i[row]), int(j[row]), int(k[row]), int(bits[row])


def filled(grey: np.ndarray) -> np.ndarray:
    """Return (H, W) bool: where a grey picture is black or white padding that reaches its edge, and 2 pixels around.

    Turned and shifted copies have such padding; two photos padded alike would otherwise seem alike.
    """
    extreme = ((grey <= DARKEST) | (grey >= LIGHTEST)).astype(np.uint8)
    _, parts = cv2.connectedComponents(extreme, connectivity=4)
    at_edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    padding = np.isin(parts, at_edge[at_edge > 0])
    return cv2.dilate(padding.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0


def flatten_light(thumbs: np.ndarray) -> np.ndarray:
    """Take noise and slow changes of light off thumbnails (N, S, S) uint8. Returns float32, NaN where they are padding.

    A difference of Gaussians that ignores padding.
    """
    out = np.empty(thumbs.shape, np.float32)
    for start in range(0, len(thumbs), BLOCK):
        block = thumbs[start : start + BLOCK]
        shown = np.stack([~filled(thumb) for thumb in block]).astype(np.float32)
        values = block * shown
        fine, light = (
            gaussian_filter(values, (0, sd, sd)) / np.maximum(gaussian_filter(shown, (0, sd, sd)), 1e-3)
            for sd in (NOISE_SD, LIGHT_SD)
        )
        out[start : start + BLOCK] = np.where(shown > 0, fine - light, np.nan)
    return out


def correlation_in_place(a: np.ndarray, b: np.ndarray, k: int) -> float:
    """Correlate flattened thumbnails (S, S), variant `k` of the second, where neither is padding. Returns -1..1.

    0 where fewer than MIN_SHARE of the pixels are left, or where one has no structure.
    """
    b = variant(b, k)
    both = np.isfinite(a) & np.isfinite(b)
    if both.mean() < MIN_SHARE:
        return 0.0
    x, y = a[both] - a[both].mean(), b[both] - b[both].mean()
    spread = float(np.sqrt(x.var() * y.var()))
    return float(x @ y) / (len(x) * spread) if spread > MIN_VARIANCE else 0.0
