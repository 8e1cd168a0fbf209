"""Photos decoded once: one memory-mapped array of uint8 pixels at the working size, shared by every job."""

import functools
import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from mpox.data.photos import FILTERS, PhotoError, decoded, square
from mpox.errors import UserError
from mpox.files import replacing, sha256_of
from mpox.progress import watched

log = logging.getLogger(__name__)
# Part of every key: raise it when the pixels that come out of `square` change.
PIXEL_VERSION = 2


def open_store(manifest: pd.DataFrame, root: Path, size: int, interpolation: str, cache: Path) -> np.ndarray:
    """Return the pixels of the manifest's photos, (N, size, size, 3) uint8, row i for row i; memory-mapped, read-only.

    Built on first use, in threads with a progress bar, and kept in `cache` under a key of the photos' contents, size
    and interpolation, so any change of them builds anew. Several processes may ask at once: one builds, the others
    wait. The first use in a process checks its checksum; a damaged store is built anew, and that is said. Raises
    UserError naming the photos that cannot be decoded.
    """
    if interpolation not in FILTERS:
        raise UserError(f"interpolation '{interpolation}' is unknown: choose one of {', '.join(FILTERS)}")
    key = store_key(list(manifest["sha256"]), size, interpolation)
    path = cache / f"photos-{size}-{key}.npy"
    if not _sound(path):
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not _sound(path):
                if path.exists():
                    log.warning("%s is damaged or has no checksum: decoding the photos again", path)
                _build(path, [root / name for name in manifest["path"]], size, interpolation)
    return np.load(path, mmap_mode="r")


def store_key(sha256: Sequence[str], size: int, interpolation: str) -> str:
    """Return 16 hex digits that name the pixels: photos in order, size, filter and version of the preprocessing."""
    text = json.dumps([PIXEL_VERSION, size, interpolation, *sha256])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sound(path: Path) -> bool:
    """Say whether the store is there and is what was written; read through once a process, then by size and time."""
    try:
        facts = path.stat()
        return _checksum(path, facts.st_size, facts.st_mtime_ns) == path.with_suffix(".sha256").read_text().strip()
    except FileNotFoundError:
        return False


@functools.lru_cache(maxsize=64)
def _checksum(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)


def _build(path: Path, photos: list[Path], size: int, interpolation: str) -> None:
    failures = []

    def decode(photo: Path) -> np.ndarray | PhotoError:
        try:
            with decoded(photo) as whole:
                return square(whole.picture, size, interpolation)
        except PhotoError as error:
            return error

    with replacing(path) as temporary:
        pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(photos), size, size, 3))
        with ThreadPoolExecutor() as pool:
            pictures = watched(pool.map(decode, photos), f"decoding {len(photos)} photos", len(photos))
            for row, picture in enumerate(pictures):
                if isinstance(picture, PhotoError):
                    failures.append(str(picture))
                else:
                    pixels[row] = picture
        pixels.flush()
        if failures:
            raise UserError(f"{len(failures)} photos cannot be used; the first: {failures[0]}")
        facts = temporary.stat()
        checksum = _checksum(temporary, facts.st_size, facts.st_mtime_ns)
        with replacing(path.with_suffix(".sha256")) as beside:
            beside.write_text(checksum + "\n")
