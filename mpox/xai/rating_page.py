"""The page on which clinicians judge photos, maps and answers: one HTML file that needs no server and no network."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from mpox.data.photos import open_photo
from mpox.data.picture_files import picture_uri
from mpox.data.working_picture import square
from mpox.files import replacing
from mpox.places import inside
from mpox.runs.opened import OpenedRun
from mpox.xai.cams import shown
from mpox.xai.pictures import COLOURS, WARNING, colours, percent
from mpox.xai.questions import CANNOT_TELL, Question

# Sides in pixels: photos as clinicians see them, and maps, which hold nothing finer.
PHOTO_SIDE, MAP_SIDE = 640, 128
PHOTO_QUALITY = 88


def write_page(
    run: OpenedRun,
    folder: Path,
    path: Path,
    questions: Sequence[Question],
    *,
    blinded: bool,
    count: int,
    seed: int = 0,
) -> dict[str, Any]:
    """Write the page of at most `count` photos explained in `folder` (see `gallery`); return what merging needs.

    That is: id of the page, name of the folder, number of photos and of those with a blank map, questions.

    Each photo is read twice: alone, until its answers are locked, and then with its map, and the model's answer unless
    `blinded`. Half of the photos, as far as there are any, are the model's mistakes; which ones they are the page does
    not hold, nor any true class, nor, `blinded`, an answer of the model. The page's id is a hash of its photos, maps
    and questions.
    """
    index = pd.read_parquet(folder / "index.parquet")
    chosen = _choose(index, count, seed)
    asked = [vars(question) for question in questions]
    photos = [_entry(run, folder, row, blinded) for row in chosen.to_dict("records")]
    maps = [hashlib.sha256(photo["map"].encode()).hexdigest() for photo in photos]
    text = repr((run.name, folder.name, blinded, asked, [photo["id"] for photo in photos], maps))
    page = {
        "id": hashlib.sha256(text.encode()).hexdigest()[:12],
        # Model and fold tell a clinician nothing; the study says what the page is about.
        "title": run.card.study,
        "blinded": blinded,
        "cannot_tell": CANNOT_TELL,
        "questions": asked,
        "photos": photos,
    }
    with replacing(path) as temporary:
        temporary.write_text(_rendered(page), encoding="utf-8")
    blank = sum(not photo["map"] for photo in photos)
    facts = {"id": page["id"], "folder": folder.name, "photos": len(photos), "blank": blank}
    facts |= {"caution": run.caution} if run.caution else {}
    return {**facts, "blinded": blinded, "questions": asked}


def _rendered(page: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mpox.xai"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    # As the maps are drawn: the colour is the stronger, the higher the value.
    scale = [f"rgb({r} {g} {b} / {k / (len(COLOURS) - 1):.2f})" for k, (r, g, b) in enumerate(COLOURS)]
    place = resources.files("mpox.xai") / "templates"
    parts = {kind: Markup((place / f"rating_page.{kind}").read_text(encoding="utf-8")) for kind in ("css", "js")}
    template = environment.get_template("rating_page.html.jinja")
    return template.render(page=page, warning=WARNING, scale=Markup(", ".join(scale)), **parts)


def _choose(index: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Mistakes for up to half of the places, drawn at random as the rest is; then all in random order."""
    wrong, right = index[~index["correct"]], index[index["correct"]]
    n_wrong = min(len(wrong), max(count // 2, count - len(right)))
    parts = [
        wrong.sample(n_wrong, random_state=seed),
        right.sample(min(len(right), count - n_wrong), random_state=seed),
    ]
    return pd.concat(parts).sample(frac=1, random_state=seed)


def _entry(run: OpenedRun, folder: Path, row: Mapping[Any, Any], blinded: bool) -> dict[str, str]:
    """Photo, map (empty where it is blank) and, unless `blinded`, the model's answer."""
    photo = open_photo(inside(run.root, row["path"], folder / "index.parquet"))
    side = min(PHOTO_SIDE, *photo.size)
    with np.load(inside(folder, row["map"], folder / "index.parquet")) as content:
        strength = shown(content["map"][None], MAP_SIDE)[0]
    rgba = np.concatenate([colours(strength), 255 * strength[..., None]], -1)
    entry = {
        # Not the photo's own id, whose path names its class.
        "id": photo_code(row["photo_id"]),
        "photo": picture_uri(square(photo, side, "lanczos"), "jpeg", quality=PHOTO_QUALITY),
        "map": picture_uri(np.rint(rgba).astype(np.uint8), "png") if strength.any() else "",
    }
    if not blinded:
        entry["answer"] = f"The model's answer: {row['predicted']}, probability {percent(row['confidence'])}"
    return entry


def photo_code(photo_id: str) -> str:
    """Name of a photo on the page and in its ratings: a hash, since ids name the class's folder."""
    return hashlib.sha256(photo_id.encode()).hexdigest()[:16]
