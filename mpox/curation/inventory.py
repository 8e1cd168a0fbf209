"""Several photo sets as one manifest, and what is unusual about the files themselves."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from mpox.data.manifest import complete
from mpox.data.photos import ENDINGS, FORMATS, MAX_PIXELS, open_regular
from mpox.data.sources import PhotoSet
from mpox.data.walk import UNDECODABLE, UNSUPPORTED
from mpox.errors import UserError
from mpox.progress import watched

UNREADABLE = (UNDECODABLE, UNSUPPORTED)
PLAIN_MODES = {"RGB", "RGBX", "L"}
# Above this a photo is larger than nearly every phone's; it is read all the same.
LARGE_PIXELS = 50_000_000


def combine(sets: Sequence[PhotoSet]) -> PhotoSet:
    """Put photo sets together, paths relative to the deepest folder that holds them all; photo ids stay as they are.

    Sources are distinguished by the name in their manifests. Raises UserError where two sets hold one photo_id, or
    share no folder (other drives).
    """
    if len(sets) == 1:
        return PhotoSet(sets[0].manifest, sets[0].root.resolve(), sets[0].left)
    roots = [photos.root.resolve() for photos in sets]
    try:
        common = Path(os.path.commonpath(roots))
    except ValueError as error:
        raise UserError(f"the photo sets are on different drives ({', '.join(map(str, roots))}): move one") from error
    frames, left = [], []
    for photos, root in zip(sets, roots, strict=True):
        prefix = "" if root == common else f"{root.relative_to(common).as_posix()}/"
        frame = photos.manifest.copy()
        frame["path"] = prefix + frame["path"]
        frame["mask"] = (prefix + frame["mask"]).where(frame["mask"] != "", "")
        frames.append(frame)
        left += [prefix + entry for entry in photos.left]
    together = pd.concat(frames, ignore_index=True)
    repeated = together.loc[together["photo_id"].duplicated(), "photo_id"]
    if len(repeated):
        raise UserError(
            f"two photo sets hold {repeated.iloc[0]} ({len(repeated)} such ids): give each its own data.source=<name>"
        )
    return PhotoSet(complete(together, ""), common, tuple(left))


def file_findings(photos: PhotoSet) -> list[dict[str, Any]]:
    """Return findings about the files: undecodable, unsupported_format, wrong_extension, animated and so on.

    Reads the headers of the kept photos only. What was never a photo is in `photos.left`.
    """
    rows: list[dict[str, Any]] = []
    unreadable = photos.manifest[~photos.manifest["keep"] & photos.manifest["reason_kind"].isin(UNREADABLE)]
    for photo, kind, reason in unreadable[["photo_id", "reason_kind", "reason"]].itertuples(index=False):
        rows.append({"photo_id": photo, "kind": kind, "evidence": reason})
    kept = photos.manifest[photos.manifest["keep"]]
    with ThreadPoolExecutor() as pool:
        headers = pool.map(_oddities, [photos.root / path for path in kept["path"]])
        for photo, odd in zip(kept["photo_id"], watched(headers, "reading headers", len(kept)), strict=True):
            rows += [{"photo_id": photo, "kind": kind, "evidence": evidence} for kind, evidence in odd]
    return rows


def _oddities(path: Path) -> list[tuple[str, str]]:
    """Return (kind, evidence) of what is unusual about one readable photo's file."""
    odd = []
    with open_regular(path) as file, Image.open(file, formats=FORMATS) as photo:
        kind, mode, (width, height) = photo.format or "?", photo.mode, photo.size
        frames = getattr(photo, "n_frames", 1) if kind not in ("MPO", "HEIF") else 1
    if path.suffix.lower() not in ENDINGS.get(kind, frozenset()):
        odd.append(("wrong_extension", f"the file is {kind}, its ending is {path.suffix}"))
    if frames > 1:
        odd.append(("animated", f"{frames} frames: only the first is used"))
    if mode not in PLAIN_MODES:
        odd.append(("unusual_mode", f"mode {mode}: converted to 8-bit RGB"))
    if width * height > LARGE_PIXELS:
        size = f"{width}x{height}, {width * height / 1e6:.0f} megapixels"
        odd.append(("very_large", f"{size} (more than {MAX_PIXELS / 1e6:.0f} are refused)"))
    return odd
