"""The failure gallery: the most confident mistakes as small embedded pictures, with their CAMs where there are any."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mpox.data.photos import PhotoError, open_photo
from mpox.data.picture_files import picture_uri
from mpox.places import inside
from mpox.report.explanations import maps_of
from mpox.stats.model_result import Mistake

# Longest side of a thumbnail in pixels: sharp at the size shown on a screen of twice the density.
THUMBNAIL = 288


@dataclass(frozen=True)
class Failure:
    """A mistake with `photo` and `cam` as data URIs, None for one that is missing; `cam_words` describes the map."""

    mistake: Mistake
    photo: str | None
    cam: str | None
    cam_words: str


def failures(mistakes: Sequence[Mistake], photo_root: Path | None, runs: Path) -> list[Failure]:
    """Embed the photos of mistakes found below `photo_root`; None embeds none.

    `runs` holds the model's fold directories; a photo that `mpox.explain` has explained there has its map beside it.
    """
    maps = {fold: maps_of(runs / f"fold-{fold}") for fold in {mistake.fold for mistake in mistakes}}
    found = []
    for mistake in mistakes:
        photo = (
            None
            if photo_root is None
            else _embedded(inside(photo_root, mistake.path, "the study's predictions.parquet"))
        )
        cam = maps[mistake.fold].get(mistake.path) if photo is not None else None
        found.append(Failure(mistake, photo, _embedded(cam.path) if cam else None, cam.words if cam else ""))
    return found


def _embedded(path: Path) -> str | None:
    try:
        photo = open_photo(path)
    except PhotoError:
        return None
    photo.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return picture_uri(photo, "jpeg", quality=82)
