"""A photo as a phone would take and read it again: 12 megapixels, noise, and what cameras, files and apps then change.

Conditions of light, lens and file follow the contract; the others are the usual shortcuts of platforms, measured so
that a report can say what they cost.
"""

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageFilter

from mpox.data.colour import to_srgb
from mpox.data.display_p3 import display_p3
from mpox.data.working_picture import FILTERS, boxed, centre_square, largest_halving, square
from mpox.mobile.run.sampling import sampled

# Side in pixels of the centre square of a 12-megapixel photo.
SIDE = 3024
# Noise of a small sensor indoors: variance in levels, of the dark and for each level of brightness.
READ_VARIANCE, SHOT_VARIANCE = 9.0, 0.12
# Rows that are given noise at once, to bound the memory.
STRIP = 252
# Defocus: sd of the blur, in pixels of the working picture.
BLUR = 0.7
# Gain of red, and its reverse of blue, in linear light.
TINT = 1.15
# Exposure, in stops.
STOPS = 1 / 3
QUALITIES = (95, 80, 60)
TAKEN, AS_IT_IS = "photographed again", "the photo as it is"


@dataclass(frozen=True)
class Form:
    """The working picture that a network takes: side in pixels, filter and way to resize."""

    size: int
    interpolation: str
    resize: str

    def picture(self, photo: Image.Image) -> np.ndarray:
        """Return the working picture by the contract, (S, S, 3) uint8."""
        return square(photo, self.size, self.interpolation, self.resize)


@dataclass(frozen=True)
class Condition:
    """A way from the taken photo (upright, sRGB, square) to a working picture; whether the contract allows it."""

    name: str
    contract: bool
    picture: Callable[[Image.Image, Form], np.ndarray]


def taken(photo: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return the centre square of a 12-megapixel photo of this one: scaled, slightly out of focus, with noise."""
    enlarged = photo.crop(centre_square(photo.width, photo.height)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pixels = np.array(enlarged.filter(ImageFilter.BoxBlur(1)))
    for top in range(0, SIDE, STRIP):
        light = pixels[top : top + STRIP].astype(np.float32)
        noise = random.standard_normal(light.shape, np.float32) * np.sqrt(READ_VARIANCE + SHOT_VARIANCE * light)
        pixels[top : top + STRIP] = np.rint(light + noise).clip(0, 255)
    return Image.fromarray(pixels)


def pictures(photo: Image.Image, form: Form, random: np.random.Generator) -> np.ndarray:
    """Return working pictures of a photo: as it is, taken, and under each of CONDITIONS; (2 + n, S, S, 3) uint8."""
    again = taken(photo, random)
    made = [form.picture(photo), form.picture(again), *(one.picture(again, form) for one in CONDITIONS)]
    return np.stack(made)


def _compressed(quality: int) -> Callable[[Image.Image, Form], np.ndarray]:
    def picture(photo: Image.Image, form: Form) -> np.ndarray:
        with io.BytesIO() as file:
            photo.save(file, "JPEG", quality=quality)
            with Image.open(file) as decoded:
                return form.picture(decoded.convert("RGB"))

    return picture


def _blurred(photo: Image.Image, form: Form) -> np.ndarray:
    reduced = boxed(photo, form.size)
    return form.picture(reduced.filter(ImageFilter.GaussianBlur(BLUR * reduced.width / form.size)))


def _lit(red: float, green: float, blue: float) -> Callable[[Image.Image, Form], np.ndarray]:
    """With other gains of the channels in linear light. The box is applied before, which hardly matters to it."""
    linear = (np.arange(256) / 255 + 0.055) / 1.055
    linear = np.where(np.arange(256) <= 10, np.arange(256) / 255 / 12.92, linear**2.4)

    def curve(gain: float) -> list[int]:
        value = (linear * gain).clip(0, 1)
        encoded = np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)
        return [int(level) for level in np.rint(255 * encoded)]

    table = [*curve(red), *curve(green), *curve(blue)]
    return lambda photo, form: form.picture(boxed(photo, form.size).point(table))


@functools.cache
def _to_display_p3() -> ImageCms.ImageCmsTransform:
    own = ImageCms.ImageCmsProfile(io.BytesIO(display_p3()))
    return ImageCms.buildTransform(ImageCms.createProfile("sRGB"), own, "RGB", "RGB", flags=ImageCms.Flags.NOCACHE)


def _of_display_p3(*, converted: bool) -> Callable[[Image.Image, Form], np.ndarray]:
    """The photo stored in Display P3, and read with its profile or as if it were sRGB."""

    def picture(photo: Image.Image, form: Form) -> np.ndarray:
        stored = ImageCms.applyTransform(photo, _to_display_p3())
        assert stored is not None
        return form.picture(to_srgb(stored, display_p3()) if converted else stored)

    return picture


def _sampled(photo: Image.Image, form: Form) -> np.ndarray:
    """Plain bilinear: two by two pixels around a point."""
    return sampled(photo, form.size, Image.Resampling.BILINEAR)


def _area(photo: Image.Image, form: Form) -> np.ndarray:
    return np.asarray(photo.resize((form.size, form.size), Image.Resampling.BOX))


def _halved_then_sampled(least: int) -> Callable[[Image.Image, Form], np.ndarray]:
    """Decoded at the largest power of two that leaves `least` times the working side, then plain bilinear."""
    return lambda photo, form: _sampled(photo.reduce(largest_halving(photo.width, least * form.size)), form)


def _halved_then_filtered(photo: Image.Image, form: Form) -> np.ndarray:
    halved = photo.reduce(largest_halving(photo.width, form.size))
    return np.asarray(halved.resize((form.size, form.size), FILTERS[form.interpolation]))


CONDITIONS = (
    *(Condition(f"JPEG of quality {quality}", True, _compressed(quality)) for quality in QUALITIES),
    Condition("out of focus", True, _blurred),
    Condition("warmer light", True, _lit(TINT, 1, 1 / TINT)),
    Condition("colder light", True, _lit(1 / TINT, 1, TINT)),
    Condition("a third of a stop lighter", True, _lit(*3 * [2**STOPS])),
    Condition("a third of a stop darker", True, _lit(*3 * [2**-STOPS])),
    Condition("Display P3, converted", True, _of_display_p3(converted=True)),
    Condition("Display P3, read as sRGB", False, _of_display_p3(converted=False)),
    Condition("plain bilinear (Android's createScaledBitmap)", False, _sampled),
    Condition("area (iOS, OpenCV)", False, _area),
    Condition("inSampleSize leaving less than twice the side, then plain bilinear", False, _halved_then_sampled(1)),
    Condition("inSampleSize leaving twice the side or more, then plain bilinear", False, _halved_then_sampled(2)),
    Condition("inSampleSize leaving less than twice the side, then the filter", False, _halved_then_filtered),
)
NAMES = (AS_IT_IS, TAKEN, *(one.name for one in CONDITIONS))
BY_CONTRACT = (True, True, *(one.contract for one in CONDITIONS))
