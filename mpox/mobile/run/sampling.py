"""Scaling without antialiasing, as platforms do it: points of the photo, whatever lies between them."""

import numpy as np
from PIL import Image

from mpox.data.working_picture import centre_square


def sampled(photo: Image.Image, size: int, kind: Image.Resampling) -> np.ndarray:
    """Return the centre square of a photo at (size, size, 3) uint8; `kind` is how a point is read between pixels.

    Pillow's affine transform samples points and does not average over the pixels between them.
    """
    left, top, right, _ = centre_square(photo.width, photo.height)
    step = (right - left) / size
    return np.asarray(photo.transform((size, size), Image.Transform.AFFINE, (step, 0, left, 0, step, top), kind))
