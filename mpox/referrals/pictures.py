"""Pictures that strangers send: JPEG or PNG by their bytes, of a size that can be decoded, and decoded once."""

import io
import warnings

from PIL import Image

from mpox.errors import reason_of
from mpox.referrals.refused import RefusedError

MAX_PIXELS = 50_000_000
STARTS = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}
_FORMATS = {"image/jpeg": ("JPEG",), "image/png": ("PNG",)}


def check_picture(content: bytes, mime: str, name: str) -> tuple[int, int]:
    """Return width and height in pixels of a picture that can be decoded completely.

    Raises RefusedError for bytes that are not of `mime` (a JPEG or a PNG), more than MAX_PIXELS (asked before anything
    is decoded), and whatever the decoder raises.
    """
    if mime not in STARTS or not content.startswith(STARTS[mime]):
        raise RefusedError(f"{name} is neither a JPEG nor a PNG, or not what it says it is")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=_FORMATS[mime]) as picture:
            warnings.simplefilter("ignore")
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise RefusedError(f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels")
            picture.load()
    except RefusedError:
        raise
    except Image.DecompressionBombError as error:
        raise RefusedError(f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels") from error
    except Exception as error:  # decoders raise whatever they meet
        raise RefusedError(f"{name} cannot be decoded ({reason_of(error)})") from error
    return width, height
