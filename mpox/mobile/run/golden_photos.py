"""The photos of the golden set: SYNTHETIC (`mpox.data.synthetic`), so that the set may be published with the model.

Small ones, and three that an app gets wrong where it leaves out a step: one as large and as fine as a phone's camera
makes them, one that lies on its side, one in the camera's colours.
"""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mpox.data.display_p3 import display_p3
from mpox.data.photos import ORIENTATION, open_photo
from mpox.data.picture_files import encoded
from mpox.temporary import scratch

# Width and height of the small photos: larger than any working picture, and not square, so that crop and filter matter.
PHOTO_SIZE = (480, 400)
CAMERA_SIZE = (4032, 3024)
SEED = 20
# Of the large photo: levels and period in pixels of a weave, which no scaler that skips pixels can reproduce; noise.
WEAVE, PERIOD, NOISE = 24, 7, 8
# JPEG quality: the large photo's is low, since noise costs bytes.
QUALITY, CAMERA_QUALITY = 95, 60
# Stored lying on its side: to be turned by 90 degrees clockwise.
LYING = 6


@dataclass(frozen=True)
class GoldenPhoto:
    """A photo's file (name, content) and the label that was drawn."""

    file: str
    content: bytes
    label: str


@functools.cache
def golden_photos() -> tuple[GoldenPhoto, ...]:
    """Return the photos, the same each time."""
    from mpox.data.synthetic import generate

    with scratch() as place:
        table = generate(place, subjects_per_class=1, photos_per_subject=1, size=PHOTO_SIZE[0], seed=SEED)
        drawn = [open_photo(place / path).crop((0, 0, *PHOTO_SIZE)) for path in table["path"]]
    labels = [str(label) for label in table["label"]]
    small = [encoded(photo, "png") for photo in drawn]
    exif = Image.Exif()
    exif[ORIENTATION] = LYING
    fine = {"quality": QUALITY, "subsampling": 0}
    special = (
        (labels[0], encoded(_camera(drawn[0]), "jpeg", quality=CAMERA_QUALITY)),
        (labels[1], encoded(drawn[1].transpose(Image.Transpose.ROTATE_90), "jpeg", exif=exif, **fine)),
        (labels[2], encoded(drawn[2], "jpeg", icc_profile=display_p3(), **fine)),
    )
    named = [(f"photo-{k}.png", content, label) for k, (label, content) in enumerate(zip(labels, small, strict=True))]
    named += [(f"photo-{k}.jpg", content, label) for k, (label, content) in enumerate(special, len(named))]
    return tuple(GoldenPhoto(*one) for one in named)


def _camera(drawn: Image.Image) -> Image.Image:
    """A photo at the size of a camera's, with a fine weave and noise."""
    width, height = CAMERA_SIZE
    row, column = np.ogrid[:height, :width]
    row, column = row.astype(np.float32), column.astype(np.float32)
    along, across = 0.94 * column + 0.34 * row, 0.94 * row - 0.34 * column
    weave = WEAVE * np.sin(2 * np.pi / PERIOD * along) * np.sin(2 * np.pi / (1.3 * PERIOD) * across)
    noise = np.random.default_rng(SEED).integers(-NOISE, NOISE, (height, width), np.int8, endpoint=True)
    shape = drawn.crop((0, 0, PHOTO_SIZE[0], PHOTO_SIZE[0] * height // width))
    large = np.asarray(shape.resize(CAMERA_SIZE, Image.Resampling.BICUBIC), np.int16)
    return Image.fromarray((large + (weave + noise).astype(np.int16)[..., None]).clip(0, 255).astype(np.uint8))
