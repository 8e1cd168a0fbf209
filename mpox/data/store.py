"""Photos decoded once: one memory-mapped array of uint8 pixels at the working size, shared by every job."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from mpox.cached import built, warn_not_kept
from mpox.data.array_file import array_file
from mpox.data.photos import PhotoError, decoded
from mpox.data.unchanged import recorded
from mpox.data.working_picture import FILTERS, ONE_STEP, TWO_STEP, square
from mpox.errors import UserError, reason_of
from mpox.progress import watched

# Part of every key: raise it when the pixels that come out of `square` change.
PIXEL_VERSION = 2


def open_store(
    manifest: pd.DataFrame, root: Path, size: int, interpolation: str, cache: Path, resize: str = TWO_STEP
) -> np.ndarray:
    """Return the pixels of the manifest's photos, (N, size, size, 3) uint8, row i for row i; memory-mapped, read-only.

    Built on first use, in threads with a progress bar, and kept in `cache` under a key of the photos' contents, size,
    interpolation and way to resize, so any change of them builds a new one. Several processes may ask at once: one
    builds, the others wait. The first use in a process checks its checksum; a damaged store is built again, with a
    warning. Where the cache cannot be written, the pixels are decoded into memory if they fit, with a warning. Raises
    UserError naming the photos that cannot be decoded, or the folder without enough space.
    """
    if interpolation not in FILTERS:
        raise UserError(f"interpolation '{interpolation}' is unknown: choose one of {', '.join(FILTERS)}")
    key = store_key(list(manifest["sha256"]), size, interpolation, resize)
    form = size, interpolation, resize
    path = cache / f"photos-{size}-{key}.npy"
    photos = [(root / name, sha256) for name, sha256 in zip(manifest["path"], manifest["sha256"], strict=True)]
    try:
        built(path, lambda temporary: _write(temporary, photos, *form))
    except OSError as error:
        return _in_memory(path, photos, *form, error)
    return np.load(path, mmap_mode="r")


def store_key(sha256: Sequence[str], size: int, interpolation: str, resize: str = TWO_STEP) -> str:
    """Return 16 hex digits that name the pixels: photos in order, size, filter, way to resize, version of the rest."""
    # Pixels of earlier versions, which all were resized in one step, keep their names.
    steps = [] if resize == ONE_STEP else [resize]
    text = json.dumps([PIXEL_VERSION, size, interpolation, *steps, *sha256])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(path: Path, photos: list[tuple[Path, str]], size: int, interpolation: str, resize: str) -> str:
    with array_file(path, (len(photos), size, size, 3), np.uint8) as array:
        for picture in _decoded(photos, size, interpolation, resize):
            array.append(picture)
    return array.sha256


def _in_memory(
    path: Path, photos: list[tuple[Path, str]], size: int, interpolation: str, resize: str, error: OSError
) -> np.ndarray:
    needed = len(photos) * size * size * 3
    if needed > psutil.virtual_memory().available / 2:
        raise UserError(
            f"{path.parent} cannot take {needed / 1e6:.0f} MB of decoded photos ({reason_of(error)}), and the memory "
            "has no room for them: free some space, or give cache_dir=<folder elsewhere>"
        ) from error
    warn_not_kept(path, error)
    pixels = np.empty((len(photos), size, size, 3), np.uint8)
    for row, picture in enumerate(_decoded(photos, size, interpolation, resize)):
        pixels[row] = picture
    pixels.flags.writeable = False
    return pixels


def _decoded(photos: list[tuple[Path, str]], size: int, interpolation: str, resize: str) -> Iterator[np.ndarray]:
    """Yield the working picture of each photo; UserError at the end where any cannot be decoded."""
    failures = []

    def decode(photo: tuple[Path, str]) -> np.ndarray | PhotoError:
        try:
            with recorded(*photo), decoded(photo[0]) as whole:
                return square(whole.picture, size, interpolation, resize)
        except PhotoError as error:
            return error

    with ThreadPoolExecutor() as pool:
        pictures = watched(pool.map(decode, photos), f"decoding {len(photos)} photos", len(photos))
        for picture in pictures:
            if isinstance(picture, PhotoError):
                failures.append(str(picture))
            elif not failures:
                yield picture
    if failures:
        raise UserError(f"{len(failures)} photos cannot be used; the first: {failures[0]}")
