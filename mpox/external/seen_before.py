"""Photos that a study has seen already, in any file: they must not count as unseen.

Two signals must agree. The perceptual hash of the whole picture (imagehash, 64 bits, over the eight flips and
quarter-turns) selects pairs to compare; it survives scaling, recompression and colour, yet by chance two unrelated
photos of skin may match. The correlation of fine detail, aligned to a few pixels, decides. Another crop of the same
picture is found by neither: `mpox.curate` finds those, and its pairs can be given to `mpox.evaluate`.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from mpox.data.photos import decoded
from mpox.data.sources import PhotoSet
from mpox.progress import watched

# Bits of 64 that may differ, and the correlation of detail from which two pictures are one. Chosen by eye on all pairs
# between MSID and MSLD up to this distance: the nine highest are the same pictures (eight at 0.47 to 0.32; one, at
# 0.306, is missed), the tenth, at 0.299, is not. Of MSLD's 574 augmented copies, on which nothing was chosen, 450 are
# found, 449 rightly.
HASH_DISTANCE, CORRELATION = 20, 0.31
# Pixels: side of the pictures compared, sd of the blur beyond which there is detail, sd of the window it is scaled in.
SIDE, DETAIL, WINDOW = 96, 5.0, 8.0
# Shift in pixels (of SIDE) that alignment may need.
SHIFT = 8
TURNS = (None, *Image.Transpose)


@dataclass(frozen=True)
class _Fingerprint:
    """A photo as it is compared: hashes (T, 64) of its T turns as -1 and 1, and the grey picture."""

    hashes: np.ndarray
    grey: Image.Image


def duplicates(photos: PhotoSet, seen: PhotoSet, *, perceptual: bool = True) -> pd.DataFrame:
    """Return the kept photos of `photos` that are also in `seen`: photo_id, other (its id there), kind, score.

    kind is `exact` (the same file by sha256, score 1; there it may be left out, where another of its group is kept) or
    `perceptual` (the same picture, score its correlation of detail, from CORRELATION to 1). One row a photo, the
    strongest. With `perceptual` both folders are read and decoded; raises PhotoError for one that cannot be.
    """
    ours, theirs = (frame[frame["keep"]] for frame in (photos.manifest, seen.manifest))
    files = _files(seen.manifest)
    known = dict(zip(files["sha256"], files["photo_id"], strict=True))
    rows = [
        (photo, known[sha256], "exact", 1.0)
        for photo, sha256 in zip(ours["photo_id"], ours["sha256"], strict=True)
        if sha256 in known
    ]
    if perceptual:
        exact = {row[0] for row in rows}
        rest = ours[~ours["photo_id"].isin(exact)]
        rows += [
            (rest["photo_id"].iloc[i], theirs["photo_id"].iloc[j], "perceptual", score)
            for i, j, score in _pairs(
                _fingerprints([photos.root / path for path in rest["path"]], TURNS),
                _fingerprints([seen.root / path for path in theirs["path"]], TURNS[:1]),
            )
        ]
    found = pd.DataFrame(rows, columns=["photo_id", "other", "kind", "score"])
    return found.sort_values(["photo_id", "score"], ascending=[True, False]).drop_duplicates(
        "photo_id", ignore_index=True
    )


def _files(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the photos of groups that have a kept one, kept ones last: a copy left out is of a picture that is in."""
    shown = manifest["group"].isin(manifest.loc[manifest["keep"], "group"]) & (manifest["sha256"] != "")
    return manifest[shown].sort_values("keep", kind="stable")


def _fingerprints(paths: Sequence[Path], turns: Sequence[Image.Transpose | None]) -> list[_Fingerprint]:
    def fingerprint(path: Path) -> _Fingerprint:
        with decoded(path) as photo:
            grey = photo.picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        hashes = [imagehash.phash(_turned(grey, turn)).hash.ravel() for turn in turns]
        return _Fingerprint(np.array(hashes, np.float32) * 2 - 1, grey)

    with ThreadPoolExecutor() as pool:
        return list(watched(pool.map(fingerprint, paths), f"comparing {len(paths)} photos", len(paths)))


def _pairs(ours: Sequence[_Fingerprint], theirs: Sequence[_Fingerprint]) -> Iterator[tuple[int, int, float]]:
    """Yield (i, j, correlation) of every pair that both signals call the same picture."""
    if not ours or not theirs:
        return
    references = np.stack([other.hashes[0] for other in theirs])
    detail: dict[int, np.ndarray] = {}
    for i, photo in enumerate(ours):
        distances = (64 - photo.hashes @ references.T) / 2
        turned: dict[int, np.ndarray] = {}
        for t, j in np.argwhere(distances <= HASH_DISTANCE):
            if j not in detail:
                detail[j] = _detail(theirs[j].grey)
            if t not in turned:
                turned[t] = _detail(_turned(photo.grey, TURNS[t]))
            score = _correlation(turned[t], detail[j])
            if score >= CORRELATION:
                yield i, int(j), score


def _turned(grey: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    return grey if turn is None else grey.transpose(turn)


def _detail(grey: Image.Image) -> np.ndarray:
    """Fourier transform of the picture's fine detail, evened out over the picture, mean 0 and length 1."""
    values = np.asarray(grey, np.float32)
    values = values - ndimage.gaussian_filter(values, DETAIL)
    # Four grey levels keep the noise of smooth skin from being blown up to full contrast.
    values = values / (np.sqrt(ndimage.gaussian_filter(values**2, WINDOW)) + 4)
    values = values - values.mean()
    return np.fft.rfft2(values / max(float(np.linalg.norm(values)), 1e-6))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """The highest correlation (-1..1) over shifts up to SHIFT pixels each way."""
    surface = np.fft.irfft2(a * b.conj(), s=(SIDE, SIDE))
    return float(np.roll(surface, (SHIFT, SHIFT), (0, 1))[: 2 * SHIFT + 1, : 2 * SHIFT + 1].max())
