"""The built-in data set: a seeded generator of skin patches with lesions, to try everything without photos.

The pictures are SYNTHETIC. They are not medical images, show no real person, and a model trained on them knows nothing
about disease. What each class looks like follows, loosely, the public clinical descriptions of the WHO and the CDC:

* mpox: a few to some larger, firm, well-circumscribed pustules, all at the same stage, dimpled in the centre
  (umbilicated), some crusting, each with a reddish halo;
* chickenpox: many small lesions in crops, at different stages side by side: papules, clear vesicles on an irregular
  red base ("dew drop on a rose petal"), crusts;
* acne: clusters of white and black comedones, inflamed papules and pustules with a yellowish tip, on blotchy oily skin;
* healthy: none of these.

Everything else (skin tone, body site, moles, freckles, hairs, blotches, light, camera) is drawn alike for all classes
(`skin.py`); the lesions are in `lesions.py`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from mpox.data.synthetic_lesions import COUNTS, DRAWERS, RADII
from mpox.data.synthetic_skin import Pixels, Traits, add_spots, bare_skin, hairs, photograph, reflectance, shine
from mpox.errors import UserError

VERSION = 1  # names the cached copy: raise it whenever the pictures change
CLASSES = ("mpox", "chickenpox", "acne", "healthy")  # the order seeds the generators: append only
JPEG_QUALITY = 92
# Photo side in pixels: below, lesions are single pixels; above, a photo takes seconds.
SMALLEST, LARGEST = 32, 2048
GOLDEN = 0.6180339887  # the additive sequence of this step covers [0, 1) evenly, however many terms are taken

# What the photos of one subject share, each drawn evenly from its range, alike for all classes; and its skin tone.
TRAITS = {
    "flush": (0.05, 0.3),  # blood of the unaffected skin
    "blotch": (0.0, 0.3),  # strength of unspecific redness
    "oil": (0.03, 0.32),  # strength of highlights
    "line_scale": (1.8, 3.6),  # coarseness of the skin lines
    "line_depth": (0.05, 0.35),
    "line_angle": (0.0, np.pi),  # radians
    "pore_depth": (0.05, 0.5),
    "freckles": (0.0, 30.0),  # how many to expect in a photo; so moles, angiomas, scars, hairs
    "moles": (0.0, 2.5),
    "angiomas": (-1.0, 3.0),  # below 0: none
    "scars": (-1.0, 2.5),
    "hairs": (-10.0, 18.0),
    "contrast": (0.35, 0.95),  # how strongly lesions show; the rest of the lesion traits are the class's own
    "stage": (0.0, 1.0),  # 0 fresh to 1 crusting
}


def generate(
    folder: Path, *, subjects_per_class: int = 20, photos_per_subject: int = 3, size: int = 256, seed: int = 0
) -> pd.DataFrame:
    """Write the photos and lesion masks of the synthetic data set into `folder` and list them.

    Writes `<class>/<subject>_<nn>.jpg`, RGB, `size` x `size` pixels, and `masks/<class>/<subject>_<nn>.png`, 8-bit grey
    of the same size, 255 on lesions (their red halo excluded) and 0 elsewhere, for the classes of CLASSES and subjects
    such as `mpox-s003`. A photo depends on (seed, class, subject, photo, size) alone: with the same library versions
    its bytes are the same whatever else is generated. Files already there under these names are overwritten.

    Returns one row a photo, sorted by path, with the str columns path, label, subject and mask; paths are POSIX and
    relative to `folder`. Raises UserError for a count below 1, a size outside SMALLEST..LARGEST, a negative seed, or a
    `folder` that is a file; OSError where it cannot be written.
    """
    _check("subjects_per_class", subjects_per_class, 1)
    _check("photos_per_subject", photos_per_subject, 1)
    _check("size", size, SMALLEST, LARGEST)
    _check("seed", seed, 0)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: give a folder for the synthetic photos")
    rows = []
    for label in CLASSES:
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / "masks" / label).mkdir(parents=True, exist_ok=True)
        for number in range(1, subjects_per_class + 1):
            traits = _draw_traits(label, number, seed)
            for photo in range(1, photos_per_subject + 1):
                pixels, mask = _draw_photo(label, traits, _generator(seed, label, number, photo), size)
                name = f"{label}-s{number:03d}_{photo:02d}"
                row = {"path": f"{label}/{name}.jpg", "label": label, "subject": f"{label}-s{number:03d}"}
                row["mask"] = f"masks/{label}/{name}.png"
                Image.fromarray(pixels).save(folder / row["path"], quality=JPEG_QUALITY)
                Image.fromarray(mask).save(folder / row["mask"])
                rows.append(row)
    return pd.DataFrame(rows).sort_values("path", ignore_index=True)


def _check(name: str, value: Any, low: int, high: int | None = None) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"{low} to {high}"
        raise UserError(f"synthetic photos: {name} is {value!r}: give a whole number, {allowed}")


def _generator(seed: int, label: str, subject: int, photo: int) -> np.random.Generator:
    """The random stream of one photo, or of the subject itself for photo 0."""
    return np.random.default_rng(np.random.SeedSequence([seed, CLASSES.index(label), subject, photo]))


def _draw_traits(label: str, subject: int, seed: int) -> Traits:
    rng = _generator(seed, label, subject, 0)
    ranges = TRAITS | {"count": COUNTS[label], "radius": RADII[label], "jitter": (-0.02, 0.02)}
    traits = {name: rng.uniform(*bounds) for name, bounds in ranges.items()}
    # Not random by class: every class walks through the same tones, so that tone cannot tell classes apart by chance.
    start = np.random.default_rng(seed).random()
    return traits | {"tone": (start + subject * GOLDEN + traits["jitter"]) % 1.0}


def _draw_photo(label: str, traits: Traits, rng: np.random.Generator, size: int) -> tuple[Pixels, Pixels]:
    """One photo (size, size, 3) and its mask (size, size), both uint8."""
    skin = bare_skin(traits, rng, size)
    add_spots(skin, traits, rng)
    if label in DRAWERS:
        DRAWERS[label](skin, traits, rng)
    light = shine(skin, reflectance(skin), rng)
    return photograph(light * hairs(traits, rng, size)[..., None], traits, rng), skin.mask.astype(np.uint8) * 255
