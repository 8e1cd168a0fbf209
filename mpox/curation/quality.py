"""Measures of one photo's quality. Each is a number with a source, made of small pictures; thresholds are elsewhere."""

import cv2
import numpy as np
from scipy.ndimage import uniform_filter1d

from mpox.curation.fingerprints import filled
from mpox.curation.nearest import nearest

# Grey levels from which a pixel carries no detail.
BRIGHT, DARK = 250, 20
# Taps of the blur that `sharpness` compares a photo with (Crete et al.).
BLUR_TAPS = 11
# A bar: rows or columns at the edge whose grey levels vary by no more than this, all close to the outermost.
BAR_SD, BAR_DRIFT = 3.0, 8.0
# Text in the 256-pixel picture: contrast of strokes, widest stroke, and heights of letters.
STROKE_CONTRAST, STROKE_PX, LETTER_PX = 50, 7, (4, 40)


def sharpness(grey: np.ndarray) -> float:
    """Return 0 (blurred) to 1 (sharp) of a picture (H, W) uint8: what it loses when it is blurred.

    One minus the blur effect of Crete, Dolmiere, Ladret, Nicolas, "The blur effect: perception and estimation with a
    new no-reference perceptual blur metric", SPIE 6492 (2007), doi 10.1117/12.702790. Relative to the picture's own
    contrast, so smooth skin is not called blurred for having few edges.
    """
    values = grey.astype(np.float32)
    kept = []
    for axis in (0, 1):
        blurred = uniform_filter1d(values, BLUR_TAPS, axis)
        sharp, soft = np.abs(np.diff(values, axis=axis)), np.abs(np.diff(blurred, axis=axis))
        total = float(sharp.sum())
        kept.append(float(np.maximum(sharp - soft, 0).sum()) / total if total else 0.0)
    return min(kept)


def exposure(grey: np.ndarray) -> tuple[float, float]:
    """Return the shares (0..1) of pixels burnt out and of pixels lost in the dark, of those that are not padding."""
    shown = grey[~filled(grey)]
    if not shown.size:
        return 0.0, 0.0
    return float((shown >= BRIGHT).mean()), float((shown <= DARK).mean())


def border_share(grey: np.ndarray) -> float:
    """Return the share (0..1) of a picture (H, W) uint8 that is bars of one tone at its edges, or padding.

    Padding is black or white and reaches an edge, so a photo taken before a white or black studio background has a
    border in this sense: it gives a class away just as a frame does.
    """
    bars = np.zeros(grey.shape, bool)
    for turns in range(4):
        rows = np.rot90(grey, turns).astype(np.float32)
        flat = (rows.std(1) <= BAR_SD) & (np.abs(rows.mean(1) - rows[0].mean()) <= BAR_DRIFT)
        depth = len(flat) if flat.all() else int(np.argmin(flat))
        np.rot90(bars, turns)[:depth] = True
    return float((bars | filled(grey)).mean())


def text_share(grey: np.ndarray) -> float:
    """Return how much of a line of letters there is, 0 to 1: letters in the longest line, by ten (1: ten or more).

    Letters are thin strokes that differ from their surroundings (top-hat and black-hat transforms) in pieces of one
    height on one line. A suspicion for a person to look at: hair, scales and rulers can look so, logos may not.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (STROKE_PX, STROKE_PX))
    longest = 0
    for transform in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        strokes = (cv2.morphologyEx(grey, transform, kernel) >= STROKE_CONTRAST).astype(np.uint8)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
        longest = max(longest, _longest_line(boxes[1:]))
    return min(longest / 10, 1.0)


def colourfulness(colours: np.ndarray) -> float:
    """Return the colourfulness of a picture (H, W, 3) uint8 RGB: 0 grey, about 15 slight, above 60 high.

    Hasler and Suesstrunk, "Measuring colourfulness in natural images", SPIE 5007 (2003), doi 10.1117/12.477378.
    """
    red, green, blue = np.moveaxis(colours.astype(np.float32), -1, 0)
    one, two = red - green, (red + green) / 2 - blue
    return float(np.hypot(one.std(), two.std()) + 0.3 * np.hypot(one.mean(), two.mean()))


def unlikeness(embedded: np.ndarray, k: int = 5) -> np.ndarray:
    """Return how far each photo (N, D) lies from the others, in robust standard deviations (N) float32.

    The cosine distance to the k-th neighbour (Ramaswamy, Rastogi, Shim, "Efficient algorithms for mining outliers from
    large data sets", SIGMOD 2000, doi 10.1145/342009.335437), less its median, by its median absolute deviation. Zeros
    where there are too few photos to tell.
    """
    if len(embedded) <= 2 * k:
        return np.zeros(len(embedded), np.float32)
    unit = embedded / np.maximum(np.linalg.norm(embedded, axis=1, keepdims=True), 1e-12)
    _, similarity = nearest(unit, unit, k + 1)  # a photo is its own neighbour
    far = 1 - similarity.min(axis=1)
    off = far - np.median(far)
    return off / max(1.4826 * float(np.median(np.abs(off))), 1e-6)


def _longest_line(boxes: np.ndarray) -> int:
    """Return the largest number of boxes (left, top, width, height, area) that are placed like letters on one line."""
    left, top, width, height, area = boxes[:, :5].T
    tall = (height >= LETTER_PX[0]) & (height <= LETTER_PX[1]) & (width <= 2 * height) & (area < 0.9 * width * height)
    letters = np.stack([left, top, width, height])[:, tall]
    letters = letters[:, np.argsort(letters[0])]
    longest, used = 0, np.zeros(letters.shape[1], bool)
    for start in range(letters.shape[1]):
        if used[start]:
            continue
        x, y, w, h = letters[:, start]
        length = 1
        for item in range(start + 1, letters.shape[1]):
            nx, ny, nw, nh = letters[:, item]
            if nx > x + w + 1.5 * h:
                break
            if abs(ny + nh - y - h) <= 0.25 * h and 0.6 <= nh / h <= 1.6 and nx >= x + 0.5 * w:
                x, y, w, length = nx, ny, nw, length + 1
                used[item] = True
        longest = max(longest, length)
    return longest
