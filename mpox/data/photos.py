"""Opening one photo the way every stage of the project does: upright, RGB, whole; and its working picture."""

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mpox.errors import UserError

SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp"})
# Pillow's own limit: above it a file is more likely an attack (a decompression bomb) than a photo.
MAX_PIXELS = 178_956_970
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class PhotoError(UserError):
    """A file that cannot be read as a photo."""


# What Pillow lets through where EXIF is malformed.
ODD_EXIF = (struct.error, KeyError, TypeError, IndexError, OverflowError)


def open_photo(path: Path) -> Image.Image:
    """Decode one photo completely: EXIF orientation applied, first frame, 8-bit RGB, transparency on white.

    Raises PhotoError, naming the file, when it is missing, empty, truncated, not an image, or larger than MAX_PIXELS.
    """
    try:
        # Pillow warns at half the limit and raises above it, unless someone has switched its check off.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            photo = Image.open(path)
        with photo:
            width, height = photo.size
            if width * height > MAX_PIXELS:
                raise Image.DecompressionBombError
            upright = ImageOps.exif_transpose(photo)
            return _to_rgb(upright)
    except FileNotFoundError as error:
        raise PhotoError(f"{path}: no such file") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{path}: more than {MAX_PIXELS:,} pixels, which may be an attack: scale it down") from error
    except UnidentifiedImageError as error:
        what = "not an image Pillow can read" if path.stat().st_size else "the file is empty"
        raise PhotoError(f"{path}: {what}: remove it or save it again as JPEG or PNG") from error
    except (OSError, SyntaxError, ValueError, *ODD_EXIF) as error:
        if isinstance(error, PhotoError):
            raise
        what = str(getattr(error, "strerror", None) or error)  # an OSError's whole text repeats the path
        raise PhotoError(f"{path}: cannot be decoded ({what}): remove it or save it again") from error


def square(photo: Image.Image, size: int, interpolation: str) -> np.ndarray:
    """Crop the centre square and resize it with antialiasing. Returns (size, size, 3) uint8 RGB.

    This is the one definition of the working picture: training, evaluation and every exported model use it.
    """
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    # Not `resize(box=…)`: its filter reaches over the box's edge, which no phone's crop-then-resize would do.
    cropped = photo.crop((left, top, left + side, top + side))
    return np.asarray(cropped.resize((size, size), FILTERS[interpolation]))


def _to_rgb(photo: Image.Image) -> Image.Image:
    """Convert any Pillow mode to RGB; 16-bit grey is scaled (Pillow's own conversion clips it to white)."""
    if photo.mode.startswith("I;16") or photo.mode == "I":
        photo = photo.point(lambda value: value / 257).convert("L")
    if photo.mode in ("RGBA", "LA", "PA") or "transparency" in photo.info:
        rgba = photo.convert("RGBA")
        background = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(background, rgba).convert("RGB")
    return photo.convert("RGB")
