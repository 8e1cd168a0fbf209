"""Synthetic photos with a shortcut planted: a sticker in a corner, with its own colour and pattern for each class."""

from pathlib import Path

from PIL import Image, ImageDraw

from mpox.data import synthetic
from mpox.data.manifest import complete, write_manifest

COLOURS = {"mpox": "#1f6fe0", "chickenpox": "#18b43c", "acne": "#f0e020", "healthy": "#b020d0"}
SIDE = 0.25  # of the photo
PARTS = 6  # squares a side of the grid of a pattern


def filled(label: str, row: int, column: int) -> bool:
    """Whether a square of the label's pattern is coloured: horizontal stripes, vertical stripes, a chequer, a ring."""
    edge = {row, column} & {0, PARTS - 1}
    return {
        "mpox": row % 2 == 0,
        "chickenpox": column % 2 == 0,
        "acne": (row + column) % 2 == 0,
        "healthy": bool(edge),
    }[label]


def photo_set(root: Path, *, marked: bool, seed: int, subjects: int = 20, photos: int = 2, size: int = 224) -> Path:
    """Write the photos, with stickers where `marked`, and their manifest, whose path is returned."""
    frame = synthetic.generate(root, subjects_per_class=subjects, photos_per_subject=photos, size=size, seed=seed)
    for path, label in zip(frame["path"], frame["label"], strict=True) if marked else ():
        with Image.open(root / path) as photo:
            photo.load()
        corner, square = synthetic.CLASSES.index(label), SIDE * size / PARTS
        left, top = ((1 - SIDE) * size * at for at in (corner % 2, corner // 2))
        pen = ImageDraw.Draw(photo)
        for row in range(PARTS):
            for column in range(PARTS):
                x, y = left + column * square, top + row * square
                pen.rectangle((x, y, x + square, y + square), COLOURS[label] if filled(label, row, column) else "white")
        photo.save(root / path, quality=synthetic.JPEG_QUALITY)
    write_manifest(complete(frame, "planted"), root / "manifest.csv")
    return root / "manifest.csv"
