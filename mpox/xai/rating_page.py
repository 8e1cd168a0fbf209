"""The page on which clinicians judge photos, maps and answers: one HTML file that needs no server and no network."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from mpox.data.photos import open_photo, square
from mpox.data.picture_files import picture_uri
from mpox.errors import UserError
from mpox.files import replacing
from mpox.places import inside
from mpox.runs.opened import OpenedRun
from mpox.xai.cams import shown
from mpox.xai.pictures import colours

# Sides in pixels: photos as clinicians see them, and maps, which hold nothing finer.
PHOTO_SIDE, MAP_SIDE = 640, 128
PHOTO_QUALITY = 88
SHOW = ("always", "blinded", "prediction")
SCALES = ("nominal", "ordinal")
MOST_OPTIONS = 9  # one key each


@dataclass(frozen=True)
class Question:
    """One question of the page. `scale`: ordinal where the options are in order, else nominal."""

    id: str
    text: str
    options: tuple[str, ...]
    scale: str


def read_questions(entries: Mapping[str, Mapping[str, Any]], classes: Sequence[str], blinded: bool) -> list[Question]:
    """Check the configured questions and return those to be asked.

    An entry (by id) has text, options (null: the classes), scale and show (`always`, or only on a `blinded` page or
    one with the `prediction`). Raises UserError for anything else.
    """
    questions = []
    for name, entry in entries.items():
        if unknown := set(entry) - {"text", "options", "scale", "show"}:
            raise UserError(f"review.questions.{name} has an unknown key '{min(unknown)}': remove it")
        show, scale = entry.get("show", "always"), entry.get("scale", "nominal")
        options = tuple(str(option) for option in entry.get("options") or classes)
        if name == "comment" or not entry.get("text"):
            raise UserError(f"review.questions.{name} needs a text and another name than comment")
        if show not in SHOW or scale not in SCALES:
            raise UserError(
                f"review.questions.{name}: show={show}, scale={scale}: choose among {', '.join(SHOW)} and "
                f"{', '.join(SCALES)}"
            )
        if not 2 <= len(set(options)) == len(options) <= MOST_OPTIONS:
            raise UserError(f"review.questions.{name} needs 2 to {MOST_OPTIONS} different options")
        if show == "always" or (show == "blinded") == blinded:
            questions.append(Question(name, str(entry["text"]), options, scale))
    if not questions:
        raise UserError("review.questions asks nothing on this page: add a question with show: always")
    return questions


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

    That is: id of the page, name of the folder, number of photos, questions.

    Half of them, as far as there are any, are the model's mistakes; which ones they are the page does not hold, nor
    any true class, nor, `blinded`, an answer of the model. The page's id is a hash of its photos, maps and questions.
    """
    index = pd.read_parquet(folder / "index.parquet")
    chosen = _choose(index, count, seed)
    asked = [{"id": one.id, "text": one.text, "options": one.options, "scale": one.scale} for one in questions]
    photos = [_entry(run, folder, row, blinded) for row in chosen.to_dict("records")]
    shown_maps = [hashlib.sha256(photo["map"].encode()).hexdigest() for photo in photos]
    text = repr((run.name, folder.name, blinded, asked, [photo["id"] for photo in photos], shown_maps))
    page = {
        "id": hashlib.sha256(text.encode()).hexdigest()[:12],
        # Model and fold tell a clinician nothing; the study says what the page is about.
        "title": run.card.study,
        "blinded": blinded,
        "map_of": "the model's answer",
        "questions": asked,
        "photos": photos,
    }
    source = resources.files("mpox.xai").joinpath("rating_page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    with replacing(path) as temporary:
        temporary.write_text(environment.from_string(source).render(page=page), encoding="utf-8")
    return {"id": page["id"], "folder": folder.name, "photos": len(photos), "blinded": blinded, "questions": asked}


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
    photo = open_photo(inside(run.root, row["path"], folder / "index.parquet"))
    side = min(PHOTO_SIDE, *photo.size)
    with np.load(inside(folder, row["map"], folder / "index.parquet")) as content:
        strength = shown(content["map"][None], MAP_SIDE)[0]
    laid = np.concatenate([colours(strength), 255 * strength[..., None]], -1)
    entry = {
        # Not the photo's own id, whose path names its class.
        "id": photo_code(row["photo_id"]),
        "photo": picture_uri(square(photo, side, "lanczos"), "jpeg", quality=PHOTO_QUALITY),
        "map": picture_uri(np.rint(laid).astype(np.uint8), "png"),
    }
    if not blinded:
        share = row["confidence"]
        entry["said"] = f"The model says: {row['predicted']}, {f'{share:.0%}' if share < 0.995 else 'over 99%'} sure"
    return entry


def photo_code(photo_id: str) -> str:
    """Name of a photo on the page and in its ratings: a hash, since ids name the class's folder."""
    return hashlib.sha256(photo_id.encode()).hexdigest()[:16]
