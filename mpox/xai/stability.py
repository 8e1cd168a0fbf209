"""Is the map stable under changes that do not matter? Small shifts, JPEG compression, another fold's model."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mpox.xai.cams import Explainer, upsampled
from mpox.xai.map_similarity import rank_correlation

SHIFT = 0.03  # of the side: 7 px at 224
JPEG_QUALITY = 40  # the compression of messengers


def shifted(explainer: Explainer, images_NCHW: Tensor, targets_N: Tensor) -> np.ndarray:
    """Rank correlation (N) of each photo's map with the map of the photo shifted diagonally by SHIFT, shifted back."""
    size = images_NCHW.shape[-1]
    pixels = max(1, round(SHIFT * size))
    # Moved down and to the right; the new border is the photo mirrored.
    moved = F.pad(images_NCHW, (pixels, 0, pixels, 0), mode="reflect")[..., :size, :size]
    before = upsampled(explainer(images_NCHW, targets_N), size)
    after = upsampled(explainer(moved, targets_N), size)
    return rank_correlation(before[:, :-pixels, :-pixels], after[:, pixels:, pixels:])


def recompressed(explainer: Explainer, images_NCHW: Tensor, targets_N: Tensor) -> np.ndarray:
    """Rank correlation (N) of each photo's map with the map of the photo saved as JPEG of JPEG_QUALITY."""
    return rank_correlation(explainer(images_NCHW, targets_N), explainer(as_jpeg(images_NCHW), targets_N))


def as_jpeg(images_NCHW: Tensor, quality: int = JPEG_QUALITY) -> Tensor:
    """Save images (float32, 0..255) as JPEG and read them again."""
    decoded = []
    for image in images_NCHW.permute(0, 2, 3, 1).round().to("cpu", torch.uint8).numpy():
        with io.BytesIO() as file:
            Image.fromarray(np.ascontiguousarray(image)).save(file, "JPEG", quality=quality)
            decoded.append(torch.from_numpy(np.array(Image.open(file))))
    return torch.stack(decoded).permute(0, 3, 1, 2).float().to(images_NCHW.device)


def between_models(maps: list[np.ndarray]) -> np.ndarray:
    """Mean rank correlation (N) over all pairs of models of their maps (each (N, h, w)) of the same photos and class.

    Raises ValueError for fewer than two models.
    """
    if len(maps) < 2:
        raise ValueError("agreement needs the maps of two models or more")
    pairs = [rank_correlation(maps[i], maps[j]) for i in range(len(maps)) for j in range(i)]
    return np.asarray(np.mean(pairs, 0))
