"""The usual mistakes of apps between a photo and its tensor, made on purpose, to be recognised."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mpox.data.colour import mode_of, to_srgb
from mpox.data.photos import open_photo
from mpox.data.working_picture import FILTERS, boxed, square
from mpox.mobile.file.input_tensor import PIXELS
from mpox.mobile.run.golden import Golden
from mpox.mobile.run.sampling import sampled

CORRECT = "as in the contract"
# Variants of the mistake "values normalised by the app": ImageNet's mean and sd, and 0.5 of both.
NORMALISATIONS = {
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
SAMPLED = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def possible_tensors(golden: Golden, size: int, interpolation: str, resize: str, form: str) -> dict[str, np.ndarray]:
    """Return the tensors of the photos, in the file's form: the correct ones, and those of each usual mistake."""
    pictures = golden.pictures
    planes = pictures.transpose(0, 3, 1, 2)
    made = {CORRECT: pictures, "channels in the order B, G, R": pictures[..., ::-1]}
    wrong = [_wrong_pictures(file, size, interpolation, resize) for file in golden.files]
    made |= {name: np.stack([of_photo[name] for of_photo in wrong]) for name in wrong[0]}
    if form == PIXELS:
        made["planes (NCHW) where interleaved pixels are expected (NHWC)"] = planes.reshape(pictures.shape)
        return {name: np.ascontiguousarray(values) for name, values in made.items()}
    made = {name: values.transpose(0, 3, 1, 2) for name, values in made.items()}
    made["pixels interleaved (NHWC) where planes are expected (NCHW)"] = pictures.reshape(planes.shape)
    made["values divided by 255"] = planes / 255
    for name, (mean, std) in NORMALISATIONS.items():
        values = (planes / 255 - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))
        made[f"values normalised by the app ({name} mean and sd), which the file does already"] = values
    return {name: np.ascontiguousarray(values, "float32") for name, values in made.items()}


def _wrong_pictures(file: Path, size: int, interpolation: str, resize: str) -> dict[str, np.ndarray]:
    """Return working pictures of a photo, each made in another wrong way."""
    photo = open_photo(file)
    others = [name for name in FILTERS if name != interpolation]
    made = {
        f"resized with the {name} filter, not {interpolation}": square(photo, size, name, resize) for name in others
    }
    for name, kind in SAMPLED.items():
        made[f"resized without antialiasing ({name})"] = sampled(photo, size, kind)
        made[f"reduced by the box, then resized without antialiasing ({name})"] = sampled(
            boxed(photo, size), size, kind
        )
    made["stretched to a square, not cropped"] = np.asarray(photo.resize((size, size), FILTERS[interpolation]))
    made["not turned upright by the EXIF orientation"] = square(_lying(file), size, interpolation, resize)
    unconverted = square(_unconverted(file), size, interpolation, resize)
    return made | {"colours not converted from the photo's profile (Display P3) to sRGB": unconverted}


def _lying(file: Path) -> Image.Image:
    """The photo in sRGB as it is stored."""
    with Image.open(file) as photo:
        profile = photo.info.get("icc_profile") or b""
        rgb = photo.convert("RGB")
    return to_srgb(rgb, profile) if mode_of(profile) == "RGB" else rgb


def _unconverted(file: Path) -> Image.Image:
    """The photo upright with the numbers that are stored."""
    with Image.open(file) as photo:
        return ImageOps.exif_transpose(photo).convert("RGB")
