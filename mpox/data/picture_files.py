"""Writing pictures: from pixels alone, so that no metadata of the original file is copied."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

KINDS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}
OF_SUFFIX = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}


def encoded(picture: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    """Return a picture (8-bit grey, RGB or RGBA) as a file of a kind: jpeg, png or webp; `options` are Pillow's.

    Pillow copies the metadata of the photo's own file (comments, EXIF, XMP, profiles, text) in ways that differ by
    format; a picture made of the bare pixels has none of it. No profile: the pixels are sRGB.
    """
    bare = Image.fromarray(np.asarray(picture))
    with io.BytesIO() as file:
        bare.save(file, KINDS[kind], **options)
        return file.getvalue()


def write_picture(picture: Image.Image | np.ndarray, path: Path, kind: str | None = None, **options: Any) -> None:
    """Write a picture as `encoded` makes it; the kind is that of the path's ending unless given."""
    path.write_bytes(encoded(picture, kind or OF_SUFFIX[path.suffix.lower()], **options))


def picture_uri(picture: Image.Image | np.ndarray, kind: str, **options: Any) -> str:
    """Return a picture as `encoded` makes it, as a data URI."""
    return data_uri(encoded(picture, kind, **options), f"image/{kind}")


def data_uri(content: bytes, mime: str) -> str:
    """Return bytes of a MIME type as a data URI."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
