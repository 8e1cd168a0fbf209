"""The Display P3 profile, against the definition of the space."""

import numpy as np
from PIL import Image

from mpox.data.colour import mode_of, to_srgb
from mpox.data.display_p3 import display_p3

# SMPTE EG 432-1 and IEC 61966-2-1: linear RGB to XYZ, both of a D65 white.
P3 = [[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869], [0.0, 0.0451134, 1.0439444]]
SRGB = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def test_colours_become_srgb_by_the_definition() -> None:
    assert mode_of(display_p3()) == "RGB"
    values = np.random.default_rng(0).integers(60, 200, (16, 16, 3), np.uint8)
    linear = ((values / 255 + 0.055) / 1.055) ** 2.4 @ np.transpose(np.linalg.inv(SRGB) @ P3)
    inside = (linear > 0.01).all(-1) & (linear < 1).all(-1)
    expected = 255 * (1.055 * linear.clip(0.01) ** (1 / 2.4) - 0.055)
    found = np.asarray(to_srgb(Image.fromarray(values), display_p3()))
    assert inside.sum() > 200 and np.abs(found - expected)[inside].max() < 1
