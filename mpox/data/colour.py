"""From a photo's own colour space to sRGB: phones often take Display P3, scans Adobe RGB, printers CMYK."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

# Pillow's modes that a profile of each space describes.
_MODES = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}
# Of 255: profiles that change no colour by more are sRGB under another name, and the photo's values stay as they are.
SAME = 4


def mode_of(profile: bytes | None) -> str:
    """Return the Pillow mode (RGB, CMYK, L) whose pixels an ICC profile describes; empty for none that is known."""
    if not profile:
        return ""
    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space
    except (OSError, ValueError, ImageCms.PyCMSError):  # an unreadable profile: taken as sRGB
        return ""
    return _MODES.get(space.strip(), "")


def to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Convert a picture, in the mode that `mode_of` gives for its profile, to sRGB, 8-bit RGB.

    Where the profile is sRGB under another name, or cannot be applied, the values stay: plain `convert("RGB")`.
    """
    transform = _transform(profile, picture.mode)
    if transform is None:
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    if picture.mode == "RGB":
        ImageCms.applyTransform(picture, transform, inPlace=True)
        return picture
    converted = ImageCms.applyTransform(picture, transform)
    assert converted is not None
    return converted


@functools.lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        # Threads share the transform, so it keeps no colour from one picture to the next.
        transform = ImageCms.buildTransform(own, srgb, mode, "RGB", flags=ImageCms.Flags.NOCACHE)
        if mode == "CMYK":
            return transform
        sample = _sample(mode)
        changed = np.asarray(ImageCms.applyTransform(sample, transform), int) - np.asarray(sample.convert("RGB"), int)
    except (OSError, ImageCms.PyCMSError):
        return None
    return None if np.abs(changed).max() <= SAME else transform


def _sample(mode: str) -> Image.Image:
    """A picture of colours evenly spread over the space of `mode` (RGB or L)."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.linspace(0, 255, 17).round().astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(17, -1, 3))
