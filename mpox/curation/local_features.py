"""Do two photos show parts of one source picture? Local features agree on one affine map, and the pixels under it too.

This finds what hashes of whole pictures cannot: other crops, scales, rotations, shears and mirrored copies.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

# A match counts where its distance is below this share of the second best's (Lowe 2004).
RATIO = 0.8
# Pixels by which a match may miss the common map.
RANSAC_PX = 3.0
RANSAC_STEPS = 1000
# A map that scales by more, or squeezes one axis against the other by more, is no crop of a photo.
MAX_SCALE, MAX_SQUEEZE = 5.0, 1.8
# sd, in pixels, of the blur before pixels are compared: half a pixel of misfit must not matter.
BLUR_SD = 1.5
# The maps' common area must be this many pixels and this share of the smaller picture to be compared.
MIN_OVERLAP_PX, MIN_OVERLAP = 1500, 0.08


@dataclass(frozen=True)
class Side:
    """One photo of a pair: grey (H, W) uint8, shown (H, W) uint8 1 where it is not padding (`fingerprints.filled`).

    points (n, 2) float32 are x, y in it, descriptors (n, 128) float32 their RootSIFT.
    """

    grey: np.ndarray
    shown: np.ndarray
    points: np.ndarray
    descriptors: np.ndarray

    @cached_property
    def mirrored(self) -> "Side":
        """The photo as its mirror image (left and right exchanged)."""
        points = self.points.copy()
        points[:, 0] = self.grey.shape[1] - 1 - points[:, 0]
        grey, shown = np.ascontiguousarray(self.grey[:, ::-1]), np.ascontiguousarray(self.shown[:, ::-1])
        return Side(grey, shown, points, mirror_descriptors(self.descriptors))


@dataclass(frozen=True)
class Match:
    """What two photos have in common: matches that agree, correlation (-1..1) and share (0..1) of the overlap."""

    inliers: int
    correlation: float
    overlap: float
    mirrored: bool


NO_MATCH = Match(0, 0.0, 0.0, False)


def root_sift(descriptors: np.ndarray) -> np.ndarray:
    """Turn SIFT descriptors (n, 128) uint8 into RootSIFT, unit float32.

    Arandjelovic and Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012.
    """
    values = descriptors.astype(np.float32)
    values /= np.maximum(values.sum(1, keepdims=True), 1.0)
    return np.sqrt(values)


def mirror_descriptors(descriptors: np.ndarray) -> np.ndarray:
    """Return the descriptors (n, 128) that the mirrored picture has at the mirrored points.

    OpenCV's layout is 4 rows x 4 columns x 8 orientations in the frame of the feature's own direction: a mirror turns
    the order of the rows and the sense of the orientations.
    """
    grid = descriptors.reshape(-1, 4, 4, 8)
    return np.ascontiguousarray(grid[:, ::-1][..., (-np.arange(8)) % 8]).reshape(-1, 128)


def compare(a: Side, b: Side, min_inliers: int) -> Match:
    """Return the better match of `a`, as it is and mirrored, with `b`; NO_MATCH below `min_inliers` or an odd map."""
    plain = _compare(a, b, min_inliers, False)
    turned = _compare(a.mirrored, b, min_inliers, True)
    return max(plain, turned, key=lambda match: (match.correlation * (match.inliers > 0), match.inliers))


def _compare(a: Side, b: Side, min_inliers: int, is_mirrored: bool) -> Match:
    here, there = _matches(a.descriptors, b.descriptors)
    if len(here) < min_inliers:
        return NO_MATCH
    source, target = a.points[here], b.points[there]
    cv2.setRNGSeed(0)  # the same pair has the same result, whatever was compared before
    affine, agree = cv2.estimateAffine2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=RANSAC_PX, maxIters=RANSAC_STEPS
    )
    if affine is None or not np.isfinite(affine).all():
        return NO_MATCH
    # Several features on one spot count once.
    inliers = len(np.unique(np.round(target[agree.ravel() > 0] / 2), axis=0))
    scales = np.linalg.svd(affine[:, :2], compute_uv=False)
    if inliers < min_inliers or np.linalg.det(affine[:, :2]) <= 0:
        return NO_MATCH
    if scales[0] > MAX_SCALE or scales[1] < 1 / MAX_SCALE or scales[0] / scales[1] > MAX_SQUEEZE:
        return NO_MATCH
    correlation, overlap = _correlation(a, b, affine, float(scales.mean()))
    return Match(inliers, correlation, overlap, is_mirrored)


def _matches(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of `a` and of `b` that are each other's nearest and pass the ratio test."""
    if len(a) < 2 or len(b) < 2:
        return np.zeros(0, int), np.zeros(0, int)
    similarity = a @ b.T
    rows = np.arange(len(a))
    nearest = similarity.argmax(1)
    first = similarity[rows, nearest]
    similarity[rows, nearest] = -1
    second = similarity.max(1)
    similarity[rows, nearest] = first
    near = np.flatnonzero(np.maximum(2 - 2 * first, 0) < RATIO**2 * np.maximum(2 - 2 * second, 0))
    good = near[similarity[:, nearest[near]].argmax(0) == near]
    return good, nearest[good]


def _correlation(a: Side, b: Side, affine: np.ndarray, scale: float) -> tuple[float, float]:
    """Correlate `a`, mapped onto `b`, with `b` where both show something; also the overlap's share of the smaller."""
    height, width = b.grey.shape
    # Shrinking needs the finer picture blurred first, else its detail aliases.
    finer = cv2.GaussianBlur(a.grey, (0, 0), BLUR_SD * max(1.0, 1 / scale))
    coarser = cv2.GaussianBlur(b.grey, (0, 0), BLUR_SD * max(1.0, scale))
    warped = cv2.warpAffine(finer, affine, (width, height), flags=cv2.INTER_LINEAR)
    inside = (cv2.warpAffine(a.shown, affine, (width, height), flags=cv2.INTER_NEAREST) & b.shown) > 0
    area = int(inside.sum())
    smaller = float(min(b.shown.sum(), a.shown.sum() * abs(np.linalg.det(affine[:, :2]))))
    share = area / max(smaller, 1.0)
    if area < MIN_OVERLAP_PX or share < MIN_OVERLAP:
        return 0.0, share
    x, y = warped[inside].astype(np.float32), coarser[inside].astype(np.float32)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    # Two blank areas correlate with anything.
    return (float(x @ y) / norm if norm > area else 0.0), share
