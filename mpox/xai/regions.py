"""Photos with a part hidden, or nothing but a part shown. Pixels (S, S, 3) uint8, regions (S, S) bool."""

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

# Lesions are hidden with this much around them (share of the side), since redness reaches beyond their edge.
MARGIN = 0.04
# Widths, as shares of the side, over which what is hidden is filled from what is seen: the finest that reaches.
FILL = (0.03, 0.1)
BORDER = 0.12  # width of the frame, as a share of the side
CELLS = 5  # the side is cut into so many cells, of which the outermost are background


def with_margin(region: np.ndarray) -> np.ndarray:
    """Return the region and all within MARGIN of it."""
    if not region.any():
        return region
    return np.asarray(distance_transform_edt(~region) <= MARGIN * len(region))


def hidden(pixels: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Fill the region smoothly from its surroundings, so that no edge tells where something was. uint8."""
    if not region.any():
        return pixels
    if region.all():
        raise ValueError("nothing is left to fill the photo from")
    seen = (~region).astype(np.float32)
    filled = pixels.astype(np.float32)
    todo = region.copy()
    for width in FILL:
        sigma = width * len(region)
        weight = gaussian_filter(seen, sigma)
        colour = gaussian_filter(filled * seen[..., None], (sigma, sigma, 0)) / np.maximum(weight, 1e-6)[..., None]
        reached = todo & (weight > 0.05)
        filled[reached] = colour[reached]
        todo &= ~reached
        if not todo.any():
            break
    filled[todo] = pixels[~region].mean(0)
    return np.rint(filled).astype(np.uint8)


def only(pixels: np.ndarray, region: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Replace all but the region by one colour (3 values 0..255). uint8."""
    return np.where(region[..., None], pixels, np.rint(colour)).astype(np.uint8)


def frame(size: int) -> np.ndarray:
    """Return the border of a photo, BORDER wide."""
    width = max(1, round(BORDER * size))
    region = np.ones((size, size), bool)
    region[width:-width, width:-width] = False
    return region


def corners(pixels: np.ndarray, lesion: np.ndarray) -> np.ndarray | None:
    """Put four pieces of background together: at each corner the nearest border cell without a lesion.

    The same number of pieces of the same size whatever the photo shows, so that neither the number nor the shape of
    what was left out says anything. Returns (2 S // CELLS, 2 S // CELLS, 3) uint8, None where every border cell has a
    lesion.
    """
    cell = len(pixels) // CELLS
    ring = [(y, x) for y in range(CELLS) for x in range(CELLS) if {y, x} & {0, CELLS - 1}]
    # The last row and column end with the photo, whatever the side leaves over.
    place = {k: k * cell if k < CELLS - 1 else len(pixels) - cell for k in range(CELLS)}
    cut = {at: (slice(place[at[0]], place[at[0]] + cell), slice(place[at[1]], place[at[1]] + cell)) for at in ring}
    free = [at for at in ring if not lesion[cut[at]].any()]
    if not free:
        return None
    last = CELLS - 1
    rows = [
        np.concatenate(
            [pixels[cut[min(free, key=lambda at: (at[0] - y) ** 2 + (at[1] - x) ** 2)]] for x in (0, last)], 1
        )
        for y in (0, last)
    ]
    return np.concatenate(rows)
