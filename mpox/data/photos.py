"""Opening one photo the way every stage of the project does: upright, sRGB, whole."""

import contextlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pi_heif
from PIL import Image, UnidentifiedImageError

from mpox.data.colour import mode_of, to_srgb
from mpox.data.memory_gate import MemoryGate
from mpox.errors import UserError

# The formats that are opened, by Pillow's names, with the endings their files have. No other decoder is ever started.
ENDINGS = {
    "JPEG": frozenset({".jpg", ".jpeg", ".jpe", ".jfif"}),
    "MPO": frozenset({".jpg", ".jpeg", ".mpo"}),  # what some phones write: a JPEG with a second picture behind it
    "PNG": frozenset({".png"}),
    "WEBP": frozenset({".webp"}),
    "BMP": frozenset({".bmp"}),
    "TIFF": frozenset({".tif", ".tiff"}),
    "GIF": frozenset({".gif"}),
    "JPEG2000": frozenset({".jp2", ".j2k", ".jpf", ".jpx"}),
    "HEIF": frozenset({".heic", ".heif", ".hif"}),
    "AVIF": frozenset({".avif"}),
}
FORMATS = tuple(name for name in ENDINGS if name != "MPO")  # which Pillow opens as JPEG
SUFFIXES = frozenset().union(*ENDINGS.values())
# Above this a file is more likely an attack (a decompression bomb) than a photo: phones take 200 megapixels.
MAX_PIXELS = 256_000_000
# Formats that phones do not take photos in, and whose decoders hold several copies at once.
LOWER_LIMITS = {"WEBP": 128_000_000, "JPEG2000": 80_000_000}
# A photo of more than this is read at half its side, by its decoder where that can (JPEG).
WHOLE_PIXELS = 80_000_000
# Pixels that threads of one process decode and use at the same time: about 12 bytes each, with their copies.
AT_WORK = MemoryGate(MAX_PIXELS)
# How many pixels' worth of memory one pixel takes while it is decoded, where it is more than one.
WEIGHTS = {"TIFF": 2, "HEIF": 2, "AVIF": 2, "WEBP": 2, "JPEG2000": 3}
ORIENTATION = 0x0112
# How to turn a photo upright, by the value of its orientation tag.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TOO_MANY = "more than {:,} pixels, which may be an attack: scale it down"
# Rows that are converted at once where a photo is halved.
STRIP = 512

Image.init()
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
# Pillow refuses above twice this; MAX_PIXELS is checked here before anything is decoded.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
# Oddities of metadata that nothing here reads; they would name no file.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class PhotoError(UserError):
    """A file that cannot be read as a photo."""


@dataclass(frozen=True)
class Decoded:
    """A photo in use.

    `picture` is upright 8-bit sRGB without metadata, at half its side where `width` x `height`, which are those of the
    whole upright photo, are more than WHOLE_PIXELS. `file` is the open file it came from.
    """

    picture: Image.Image
    width: int
    height: int
    file: io.BufferedReader


@contextlib.contextmanager
def decoded(path: Path) -> Iterator[Decoded]:
    """Decode one photo completely, for use within the block: first frame, orientation and colour profile applied.

    Transparency is filled with white. Threads wait until there is memory for it (AT_WORK), so a block must not open
    another photo. Raises PhotoError, naming the file, for whatever is wrong with it: missing, empty, truncated, no
    image of FORMATS, not a regular file, more than MAX_PIXELS, or anything its decoder raises.
    """
    with contextlib.ExitStack() as held:
        yield _decode(path, held)


def open_photo(path: Path) -> Image.Image:
    """Return the picture of `decoded`, for one photo at a time."""
    with decoded(path) as photo:
        return photo.picture


def upright(photo: Image.Image) -> Image.Image:
    """Return an open picture as `open_photo` returns that of a file: turned, 8-bit sRGB; `photo` stays as it is."""
    return _upright(photo.copy())[0]


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading bytes, never waiting for a pipe or a device. Raises OSError, PhotoError."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    number = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise PhotoError(f"{path}: not a regular file: remove it")
    return os.fdopen(number, "rb")


def _decode(path: Path, held: contextlib.ExitStack) -> Decoded:
    try:
        file = held.enter_context(open_regular(path))
        photo = Image.open(file, formats=FORMATS)
        limit = LOWER_LIMITS.get(photo.format or "", MAX_PIXELS)
        if photo.width * photo.height > limit:
            raise PhotoError(f"{path}: {TOO_MANY.format(limit)}")
        held.enter_context(AT_WORK.holding(_cost(photo)))
        picture, (width, height) = _upright(photo)
        return Decoded(picture, width, height, file)
    except PhotoError:
        raise
    except FileNotFoundError as error:
        raise PhotoError(f"{path}: no such file") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{path}: {TOO_MANY.format(MAX_PIXELS)}") from error
    except UnidentifiedImageError as error:
        what = "not an image that is read here" if path.stat().st_size else "the file is empty"
        raise PhotoError(f"{path}: {what}: remove it or save it again as JPEG or PNG") from error
    except Exception as error:  # decoders raise whatever they meet: an error must name that one photo
        # An OSError's whole text repeats the path; some exceptions have no text.
        what = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
        raise PhotoError(f"{path}: cannot be decoded ({what}): remove it or save it again") from error


def _cost(photo: Image.Image) -> int:
    """Return the pixels' worth of memory that decoding takes; a JPEG that its decoder halves takes a quarter."""
    pixels = photo.width * photo.height
    if photo.format in ("JPEG", "MPO"):
        whole = pixels if photo.info.get("progressive") else 0  # all coefficients are kept until the last scan
        return whole + (pixels // 4 if pixels > WHOLE_PIXELS else pixels)
    return pixels * WEIGHTS.get(photo.format or "", 1)


def _upright(photo: Image.Image) -> tuple[Image.Image, tuple[int, int]]:
    """Return the picture as `Decoded` has it, and the upright size of the whole photo."""
    size, halved = photo.size, photo.width * photo.height > WHOLE_PIXELS
    if halved:
        photo.draft(None, (photo.width // 2, photo.height // 2))
    drafted = photo.size != size
    photo.load()
    if not drafted:
        size = photo.size  # a TIFF is turned upright as it is loaded
    turn, profile = _turn(photo), photo.info.get("icc_profile") or b""
    own = mode_of(profile)
    if halved and not drafted:
        photo = _half(photo)
    if own in ("CMYK", "L") and own == photo.mode and "transparency" not in photo.info:
        rgb = to_srgb(photo, profile)
    else:
        rgb = _to_rgb(photo)
        rgb = to_srgb(rgb, profile) if own == "RGB" else rgb
    if turn is not None:
        rgb = rgb.transpose(turn)
        if turn >= Image.Transpose.ROTATE_90 and turn != Image.Transpose.ROTATE_180:
            size = size[1], size[0]
    rgb.info = {}  # no comment, EXIF or profile is copied to files made from it
    return rgb, size


def _turn(photo: Image.Image) -> Image.Transpose | None:
    """Return how to turn a photo upright, from the orientation tag alone; None where it is upright or has no tag."""
    try:
        value = photo.getexif().get(ORIENTATION)
    except Exception:  # unreadable metadata: no turn
        return None
    if isinstance(value, tuple) and value:
        value = value[0]
    if isinstance(value, bytes):
        value = int.from_bytes(value[:2], "little")
    return TURNS.get(value) if isinstance(value, int) else None


def _half(photo: Image.Image) -> Image.Image:
    """Return a photo of any mode at half its side, in RGB, converted strip by strip to spare memory."""
    half = Image.new("RGB", ((photo.width + 1) // 2, (photo.height + 1) // 2))
    for top in range(0, photo.height, STRIP):
        strip = photo.crop((0, top, photo.width, min(photo.height, top + STRIP)))
        half.paste(_to_rgb(strip).reduce(2), (0, top // 2))
    return half


def _to_rgb(photo: Image.Image) -> Image.Image:
    """Convert any Pillow mode to RGB; 16-bit grey is scaled (Pillow's own conversion clips it to white)."""
    if photo.mode == "F" or (photo.mode == "I" and not 0 <= _lightest(photo) <= 65535):
        raise ValueError("numbers without a known range instead of 8 or 16 bits a colour")
    if photo.mode.startswith("I;16") or photo.mode == "I":
        grey = photo if photo.mode in ("I;16", "I") else photo.convert("I")
        photo = grey.point(lambda value: value / 257).convert("L")
    if photo.mode in ("RGBA", "LA", "PA") or "transparency" in photo.info:
        rgba = photo.convert("RGBA")
        background = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(background, rgba).convert("RGB")
    return photo if photo.mode == "RGB" else photo.convert("RGB")


def _lightest(photo: Image.Image) -> int:
    lowest, highest = photo.getextrema()
    return int(lowest if lowest < 0 else highest)  # type: ignore[operator, arg-type]
