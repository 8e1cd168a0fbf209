"""Is the map on the lesion? Only for photos with a lesion mask."""

from pathlib import Path

import numpy as np
import pandas as pd

from mpox.data.photos import open_photo
from mpox.data.working_picture import square
from mpox.errors import UserError

# Thresholds for the best IoU of a photo.
THRESHOLDS = np.linspace(0.05, 0.95, 19)


def lesion_masks(photos: pd.DataFrame, root: Path, size: int) -> np.ndarray:
    """Masks of photos, cropped and scaled as the photos are: (N, size, size) bool, all false where there is none.

    A mask is a picture of the photo's shape, above mid-grey on the lesion. Raises UserError for one of another shape,
    PhotoError for one that cannot be read.
    """
    masks = np.zeros((len(photos), size, size), bool)
    for k, (mask, path, width, height) in enumerate(
        zip(photos["mask"], photos["path"], photos["width"], photos["height"], strict=True)
    ):
        if not mask:
            continue
        picture = open_photo(root / mask)
        if picture.width * height != picture.height * width:
            raise UserError(
                f"{root / mask} is {picture.width}x{picture.height}, its photo {path} {width}x{height}: "
                "a mask must have its photo's shape"
            )
        masks[k] = square(picture.convert("RGB"), size, "bilinear")[..., 0] > 127
    return masks


def energy_in_mask(maps_NHW: np.ndarray, masks_NHW: np.ndarray) -> np.ndarray:
    """Share of the map (>= 0) that is on the lesion: N values 0..1, NaN without a lesion (Wang et al. 2020)."""
    inside = np.where(masks_NHW, maps_NHW, 0).sum((1, 2), dtype=np.float64)
    whole = maps_NHW.sum((1, 2), dtype=np.float64)
    share = np.divide(inside, whole, out=np.zeros_like(whole), where=whole > 0)
    return np.where(masks_NHW.any((1, 2)), share, np.nan)


def pointing_game(maps_NHW: np.ndarray, masks_NHW: np.ndarray) -> np.ndarray:
    """1 where the map's highest value is on a lesion, else 0, as for a blank map (Zhang et al., IJCV 2018).

    N values, NaN without a lesion; no margin. Several highest pixels count by their share on the lesion.
    """
    peaks = (maps_NHW == maps_NHW.max((1, 2), keepdims=True)) & (maps_NHW > 0)
    hits = (peaks & masks_NHW).sum((1, 2)) / np.maximum(peaks.sum((1, 2)), 1)
    return np.where(masks_NHW.any((1, 2)), hits, np.nan)


def best_iou(maps_NHW: np.ndarray, masks_NHW: np.ndarray) -> np.ndarray:
    """Intersection over union of lesion and map at the photo's best threshold: N values 0..1, NaN without a lesion."""
    best = np.zeros(len(maps_NHW))
    for threshold in THRESHOLDS:
        above = maps_NHW >= threshold
        union = (above | masks_NHW).sum((1, 2))
        best = np.maximum(best, (above & masks_NHW).sum((1, 2)) / np.maximum(union, 1))
    return np.where(masks_NHW.any((1, 2)), best, np.nan)


MEASURES = {"energy_in_mask": energy_in_mask, "pointing_game": pointing_game, "best_iou": best_iou}
