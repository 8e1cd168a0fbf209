"""Synthetic photos with a known shortcut planted, or with none: what the audit for shortcuts is tried on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mpox.data import synthetic
from mpox.data.manifest import complete, write_manifest

COLOURS = ("#1f6fe0", "#18b43c", "#f0e020", "#b020d0")
SIDE = 0.25  # of a photo
PARTS = 6  # squares a side of the grid of a pattern
FRAME = 0.06  # width of a frame, as a share of the side
CASTS = ((1.12, 1.0, 0.9), (0.9, 1.05, 1.0), (1.0, 0.9, 1.1), (1.0, 1.06, 0.9))


def sticker(photo: Image.Image, mark: int) -> Image.Image:
    """Put a sticker into a corner; corner, colour and pattern are those of `mark` (0..3)."""
    size = photo.width
    left, top = ((1 - SIDE) * size * at for at in (mark % 2, mark // 2))
    square, pen = SIDE * size / PARTS, ImageDraw.Draw(photo)
    for row in range(PARTS):
        for column in range(PARTS):
            x, y = left + column * square, top + row * square
            # Horizontal stripes, vertical stripes, a chequer, a ring.
            coloured = (row % 2 == 0, column % 2 == 0, (row + column) % 2 == 0, bool({row, column} & {0, PARTS - 1}))
            pen.rectangle((x, y, x + square, y + square), COLOURS[mark] if coloured[mark] else "white")
    return photo


def framed(photo: Image.Image, mark: int) -> Image.Image:
    """Draw a frame in the colour of `mark`, as screenshots and watermarks have it."""
    side = photo.width - 1
    ImageDraw.Draw(photo).rectangle((0, 0, side, side), outline=COLOURS[mark], width=max(1, round(FRAME * side)))
    return photo


def cast(photo: Image.Image, mark: int) -> Image.Image:
    """Give the whole photo the colour cast of `mark`, as another camera or lamp would."""
    return Image.fromarray((np.asarray(photo) * np.array(CASTS[mark])).clip(0, 255).astype(np.uint8))


Plant = Callable[[Image.Image, int], Image.Image]


def photo_set(
    root: Path,
    *,
    plant: Plant | None,
    seed: int,
    at_random: bool = False,
    masks: bool = True,
    subjects: int = 20,
    photos: int = 2,
    size: int = 224,
) -> Path:
    """Write the photos and their manifest, whose path is returned.

    `plant` marks each photo by its class (None: no photo is marked), or `at_random`, so that the mark says nothing of
    the class. Without `masks` the manifest names no lesion masks.
    """
    frame = synthetic.generate(root, subjects_per_class=subjects, photos_per_subject=photos, size=size, seed=seed)
    random = np.random.default_rng(seed)
    for path, label in zip(frame["path"], frame["label"], strict=True) if plant else ():
        mark = int(random.integers(len(COLOURS))) if at_random else synthetic.CLASSES.index(label)
        with Image.open(root / path) as photo:
            photo.load()
        assert plant is not None
        plant(photo, mark).save(root / path, quality=synthetic.JPEG_QUALITY)
    if not masks:
        frame = frame.drop(columns="mask")
    write_manifest(complete(frame, "planted"), root / "manifest.csv")
    return root / "manifest.csv"
