"""Maps that do not depend on the model; a useful explanation scores better than they do. Raw maps, (N, h, w)."""

import numpy as np
from scipy.ndimage import gaussian_filter, sobel, zoom

# Sd of the centre prior as a share of the side: photographers centre their subject.
CENTRE_SD = 0.25


def random_maps(count: int, grid: int, seed: int) -> np.ndarray:
    """Noise on a grid as coarse as the map's, so equally smooth after upsampling. (N, grid, grid) float32, 0..1."""
    return np.random.default_rng(seed).random((count, grid, grid), dtype=np.float32)


def edge_maps(pixels: np.ndarray, grid: int) -> np.ndarray:
    """Strength of edges (Sobel, of the grey photo), averaged on a grid. pixels (N, S, S, 3) uint8; float32.

    Adebayo et al. (NeurIPS 2018) show that an edge detector is easily mistaken for an explanation.
    """
    grey = pixels.astype(np.float32).mean(-1)
    strength = np.hypot(sobel(grey, 1), sobel(grey, 2))
    side = grey.shape[1]
    smooth = gaussian_filter(strength, (0, side / grid / 2, side / grid / 2))
    return zoom(smooth, (1, grid / side, grid / side), order=1, grid_mode=True, mode="nearest").astype(np.float32)


def centre_maps(count: int, grid: int) -> np.ndarray:
    """A Gaussian in the middle of each photo. (N, grid, grid) float32, 0..1."""
    at = (np.arange(grid) + 0.5) / grid - 0.5
    bell = np.exp(-(at**2) / (2 * CENTRE_SD**2))
    return np.repeat(np.outer(bell, bell)[None].astype(np.float32), count, 0)
