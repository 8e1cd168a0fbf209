"""Synthetic photos with a shortcut planted: a coloured sticker in a corner, one colour and corner a class."""

from pathlib import Path

from PIL import Image, ImageDraw

from mpox.data import synthetic
from mpox.data.manifest import complete, write_manifest

STICKERS = {"mpox": "#1f6fe0", "chickenpox": "#18b43c", "acne": "#f0e020", "healthy": "#b020d0"}
SIDE = 0.17  # of the photo


def photo_set(root: Path, *, marked: bool, seed: int, subjects: int = 20, photos: int = 2, size: int = 224) -> Path:
    """Write the photos, with stickers where `marked`, and their manifest, whose path is returned."""
    frame = synthetic.generate(root, subjects_per_class=subjects, photos_per_subject=photos, size=size, seed=seed)
    for path, label in zip(frame["path"], frame["label"], strict=True) if marked else ():
        with Image.open(root / path) as photo:
            photo.load()
        corner = synthetic.CLASSES.index(label)
        left, top = (round((1 - SIDE) * size) * at for at in (corner % 2, corner // 2))
        side = round(SIDE * size)
        ImageDraw.Draw(photo).rectangle((left, top, left + side, top + side), STICKERS[label], "white", 3)
        photo.save(root / path, quality=synthetic.JPEG_QUALITY)
    write_manifest(complete(frame, "planted"), root / "manifest.csv")
    return root / "manifest.csv"
