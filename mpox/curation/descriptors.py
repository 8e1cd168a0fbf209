"""Each photo's small grey picture and local features, computed once and cached, to find pairs from."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from mpox.cached import is_sound, warn_not_kept, write_checksum
from mpox.data.array_file import array_file
from mpox.data.photos import decoded
from mpox.data.unchanged import recorded
from mpox.files import replacing
from mpox.locks import locked
from mpox.progress import watched
from mpox.temporary import scratch

log = logging.getLogger(__name__)
# Part of every key: raise it when what `extract` returns changes.
FEATURES_VERSION = 3
# Longest side, in pixels, of the working picture (the photos of the public sets have 224).
SIDE = 256
# Side of the thumbnail that hashes and the correlation in place are computed from.
THUMB = 64
# Features a photo at most, the strongest first, and the contrast (OpenCV's measure; its default is 0.04) they need:
# skin has little of it, and half as many features miss one in fifteen pairs of the public sets.
FEATURES, CONTRAST = 800, 0.01
# Photos turned grey at once: bounds memory.
BLOCK = 512
PARTS = ("colours", "greys", "sizes", "counts", "points", "descriptors")


@dataclass(frozen=True)
class PhotoFeatures:
    """Row i is photo i; all memory-mapped, read-only.

    colours (N, 64, 64, 3) uint8: the whole photo squashed to a square. greys (N, 256, 256) uint8: the whole photo in
    grey, its longest side 256 at most, in the upper left corner; sizes (N, 2) int32: its height and width there.
    points (N, 800, 2) float32: x, y of the SIFT features in `greys`; descriptors (N, 800, 128) uint8; counts (N) int32
    are how many of the 800 there are.
    """

    colours: np.ndarray
    greys: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray
    points: np.ndarray
    descriptors: np.ndarray

    def __len__(self) -> int:
        return len(self.colours)

    def thumbs(self) -> np.ndarray:
        """Return the squashed photos in grey (ITU-R 601 luma), (N, 64, 64) uint8."""
        out = np.empty(self.colours.shape[:3], np.uint8)
        for start in range(0, len(self), BLOCK):
            block = np.asarray(self.colours[start : start + BLOCK])
            out[start : start + BLOCK] = block @ np.array([0.299, 0.587, 0.114], np.float32) + 0.5
        return out

    def grey(self, row: int) -> np.ndarray:
        """Return one photo's working picture (H, W) uint8."""
        height, width = self.sizes[row]
        return np.ascontiguousarray(self.greys[row, :height, :width])


def extract(photo: Image.Image, sift: bool = True) -> tuple[np.ndarray, ...]:
    """Return one photo's entries of `PhotoFeatures`, in the order of PARTS. `sift` false: no SIFT, counts 0.

    SIFT: Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004, doi
    10.1023/B:VISI.0000029664.99615.94.
    """
    grey = photo.convert("L")
    colours = np.asarray(photo.resize((THUMB, THUMB), Image.Resampling.BOX, reducing_gap=2.0))
    if max(grey.size) > SIDE:
        scale = SIDE / max(grey.size)
        grey = grey.resize((max(1, round(grey.width * scale)), max(1, round(grey.height * scale))), reducing_gap=3.0)
    pixels = np.asarray(grey)
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    canvas[: pixels.shape[0], : pixels.shape[1]] = pixels
    points, descriptors = np.zeros((FEATURES, 2), np.float32), np.zeros((FEATURES, 128), np.uint8)
    count = 0
    if sift:
        detector = cv2.SIFT_create(FEATURES, contrastThreshold=CONTRAST)  # type: ignore[attr-defined]
        found, values = detector.detectAndCompute(np.ascontiguousarray(pixels), None)
        count = min(len(found), FEATURES)  # ties in strength may exceed what was asked for
        if count:
            points[:count] = cv2.KeyPoint.convert(found)[:count]
            descriptors[:count] = values[:count]
    return colours, canvas, np.array(pixels.shape, np.int32), np.array(count, np.int32), points, descriptors


def open_features(manifest: pd.DataFrame, root: Path, cache: Path, *, sift: bool = True) -> PhotoFeatures:
    """Return the features of the manifest's photos, all of them readable, row for row.

    Built on first use, in threads, and kept in `cache` under a key of the photos' contents; a file that differs from
    its checksum is built again, with a warning. Where the cache cannot be written, which is a warning too, they are
    kept for this process alone. Raises PhotoError, and OSError where there is no room for that either.
    """
    text = json.dumps([FEATURES_VERSION, SIDE, THUMB, FEATURES * sift, *manifest["sha256"]])
    # The folder's name is the one of caches that exist already.
    folder = cache / f"looks-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    photos = [(root / path, sha256) for path, sha256 in zip(manifest["path"], manifest["sha256"], strict=True)]
    if not _sound(folder):
        try:
            with locked(folder):
                if not _sound(folder):
                    if folder.exists():
                        log.warning("%s is damaged or incomplete: reading the photos again", folder)
                    _build(photos, folder, sift)
        except OSError as error:
            warn_not_kept(folder, error)
            with scratch() as place:  # what is mapped stays readable after its name is gone
                _build(photos, place, sift)
                return _mapped(place)
    return _mapped(folder)


def _mapped(folder: Path) -> PhotoFeatures:
    return PhotoFeatures(*(np.load(folder / f"{part}.npy", mmap_mode="r") for part in PARTS))


def _sound(folder: Path) -> bool:
    """Return whether all parts are there; their checksums are verified once a process."""
    return all(is_sound(folder / f"{part}.npy") for part in PARTS)


def _build(photos: Sequence[tuple[Path, str]], folder: Path, sift: bool) -> None:
    kept = FEATURES if sift else 0
    shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "colours": ((THUMB, THUMB, 3), np.uint8),
        "greys": ((SIDE, SIDE) if sift else (0, 0), np.uint8),
        "sizes": ((2,), np.int32),
        "counts": ((), np.int32),
        "points": ((kept, 2), np.float32),
        "descriptors": ((kept, 128), np.uint8),
    }

    def one_photo(photo: tuple[Path, str]) -> tuple[np.ndarray, ...]:
        with recorded(*photo), decoded(photo[0]) as whole:
            return extract(whole.picture, sift)

    with contextlib.ExitStack() as files:
        places = {part: files.enter_context(replacing(folder / f"{part}.npy")) for part in PARTS}
        with contextlib.ExitStack() as open_files, ThreadPoolExecutor() as pool:
            arrays = {
                part: open_files.enter_context(array_file(places[part], (len(photos), *shape), dtype))
                for part, (shape, dtype) in shapes.items()
            }
            rows = pool.map(one_photo, photos)
            for entries in watched(rows, f"extracting features of {len(photos)} photos", len(photos)):
                for part, entry in zip(PARTS, entries, strict=True):
                    shape, dtype = shapes[part]
                    arrays[part].append(entry if entry.shape == shape else np.zeros(shape, dtype))
        for part, array in arrays.items():
            write_checksum(folder / f"{part}.npy", array.sha256)
