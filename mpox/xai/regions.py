"""Photos with a part hidden, or with only a part shown. Pixels (S, S, 3) uint8, regions (S, S) bool."""

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

# Lesions are hidden with this margin (share of the side), since redness extends beyond their edge.
MARGIN = 0.04
# Widths of the blur that fills hidden pixels from visible ones, as shares of the side; the finest one that reaches.
FILL = (0.03, 0.1)
CORNER = 0.25
BORDER = 0.12  # width of the frame, as a share of the side
GRID = 5  # squares a side of the grid whose outermost squares are background


def with_margin(region: np.ndarray) -> np.ndarray:
    """Return the region and all pixels within MARGIN of it."""
    if not region.any():
        return region
    return np.asarray(distance_transform_edt(~region) <= MARGIN * len(region))


def hidden(pixels: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Fill the region smoothly from its surroundings, without an edge that shows where it was. uint8."""
    if not region.any():
        return pixels
    if region.all():
        raise ValueError("the region is the whole photo: no pixels to fill it from")
    visible = (~region).astype(np.float32)
    filled = pixels.astype(np.float32)
    missing = region.copy()
    for width in FILL:
        sigma = width * len(region)
        weight = gaussian_filter(visible, sigma)
        colour = gaussian_filter(filled * visible[..., None], (sigma, sigma, 0)) / np.maximum(weight, 1e-6)[..., None]
        reached = missing & (weight > 0.05)
        filled[reached] = colour[reached]
        missing &= ~reached
        if not missing.any():
            break
    filled[missing] = pixels[~region].mean(0)
    return np.rint(filled).astype(np.uint8)


def only(pixels: np.ndarray, region: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Replace everything except the region by one colour (3 values 0..255). uint8."""
    return np.where(region[..., None], pixels, np.rint(colour)).astype(np.uint8)


def frame(size: int) -> np.ndarray:
    """Return the border of a photo, BORDER wide."""
    width = max(1, round(BORDER * size))
    region = np.ones((size, size), bool)
    region[width:-width, width:-width] = False
    return region


def corner_squares(size: int) -> np.ndarray:
    """Return the four corners of a photo, squares of CORNER of its side."""
    width = max(1, round(CORNER * size))
    at_end = np.zeros(size, bool)
    at_end[:width] = at_end[-width:] = True
    return at_end[:, None] & at_end[None]


def corners(pixels: np.ndarray, lesion: np.ndarray) -> np.ndarray | None:
    """Join four pieces of background: for each corner the nearest border square without a lesion.

    Every photo gives the same number of pieces of the same size, so that neither number nor shape depends on the
    lesions. Returns (2 S // GRID, 2 S // GRID, 3) uint8, None where every border square has a
    lesion.
    """
    side = len(pixels) // GRID
    ring = [(y, x) for y in range(GRID) for x in range(GRID) if {y, x} & {0, GRID - 1}]
    # The last row and column end with the photo, also where the side is no multiple of GRID.
    place = {k: k * side if k < GRID - 1 else len(pixels) - side for k in range(GRID)}
    cut = {at: (slice(place[at[0]], place[at[0]] + side), slice(place[at[1]], place[at[1]] + side)) for at in ring}
    free = [at for at in ring if not lesion[cut[at]].any()]
    if not free:
        return None
    last = GRID - 1
    rows = [
        np.concatenate(
            [pixels[cut[min(free, key=lambda at: (at[0] - y) ** 2 + (at[1] - x) ** 2)]] for x in (0, last)], 1
        )
        for y in (0, last)
    ]
    return np.concatenate(rows)
