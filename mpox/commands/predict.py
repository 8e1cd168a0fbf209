"""Classify photos with an exported model or a run. See `python -m mpox.predict --help`.

An exported file is run by its runtime alone: none of the training code is loaded, so that it starts at once.
"""

import csv
import hashlib
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, ListConfig
from PIL import Image

from mpox.console import cell, results_console, shown, visible
from mpox.data.photos import SUFFIXES, PhotoError, decoded
from mpox.data.picture_files import write_picture
from mpox.data.walk import walk
from mpox.data.working_picture import square
from mpox.errors import UserError, reason_of
from mpox.files import replacing
from mpox.mobile.run.decision_rule import REFER, DecidingPredictor, Decision, decide
from mpox.mobile.run.opening import open_model
from mpox.places import check_apart

NOTICE = "Research software, not a medical device: not a diagnosis."
FORMATS = ("table", "json", "csv")
METHOD = "class activation map"


def predict(cfg: DictConfig) -> dict[str, Any]:
    """Return `model`, `notice`, `photos` (path, label, action, why, probabilities, map) and `unreadable`, by path.

    `unreadable` maps every picture without an answer to the reason, whatever went wrong. Writes the maps.
    Raises UserError for a model or photos that are not there, or an unknown format.
    """
    if cfg.format not in FORMATS:
        raise UserError(f"format={cfg.format} is unknown: choose {', '.join(FORMATS)}")
    if cfg.of is None or cfg.photos is None:
        raise UserError("give model=exports/<name> photos=<a photo or a folder of them>")
    maps = None if cfg.maps is None else Path(cfg.maps).expanduser()
    given = list(cfg.photos) if isinstance(cfg.photos, ListConfig) else [cfg.photos]
    _check_places(cfg, given)
    paths, unreadable = _found(given, maps)
    model = open_model(str(cfg.of), sensitivity=cfg.target_sensitivity, threads=cfg.threads)
    if cfg.maps is not None and not model.explains:
        raise UserError(f"{cfg.of} makes no maps (its contract.json says why): leave maps= out")
    answers = []
    for path in paths:
        try:
            with decoded(path) as photo:
                picture = square(photo.picture, model.image_size, model.interpolation, model.resize)
            probabilities = model.probabilities(picture)[0]
            decision = decide(probabilities, model.labels, model.positive, model.rule, cfg.refer_below)
            entry: dict[str, Any] = {"path": visible(str(path)), **vars(decision)}
            answers.append(entry)
            if maps is not None:
                entry["map"] = str(_write_map(model, picture, decision, path, maps))
        except PhotoError as error:
            unreadable[visible(str(path))] = visible(str(error))
        except Exception as error:  # an error on one photo, or on its map, must not lose the others' answers
            unreadable[visible(str(path))] = f"{visible(str(path))}: {reason_of(error)}"
    return {"model": str(cfg.of), "notice": NOTICE, "photos": answers, "unreadable": unreadable}


def _check_places(cfg: DictConfig, photos: list[str]) -> None:
    """Refuse to write answers under a photo's name, or maps among the photos, which would be photos the next time."""
    if cfg.out is not None and Path(cfg.out).suffix.lower() in SUFFIXES:
        raise UserError(f"out={cfg.out} is named as a photo is: give out=<file.csv|file.json>")
    for folder in [one for one in photos if cfg.maps is not None and Path(one).is_dir()]:
        check_apart("maps", cfg.maps, folder, listed=True)


def render(result: dict[str, Any], form: str) -> str:
    """Return what `predict` returned as `json` or `csv` text."""
    if form == "json":
        return json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    labels = list(result["photos"][0]["probabilities"]) if result["photos"] else []
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "label", "action", "why", *(f"p_{name}" for name in labels), "map", "notice"])
    for one in result["photos"]:
        chances = [f"{one['probabilities'][name]:.6f}" for name in labels]
        table.writerow(
            [cell(one["path"]), one["label"], one["action"], one["why"], *chances, one.get("map", ""), NOTICE]
        )
    return text.getvalue()


def show(result: dict[str, Any]) -> None:
    """Print the answers as a table."""
    from rich.table import Table

    table = Table("photo", "called", "action", "why", title=shown(result["model"]), title_justify="left")
    labels = list(result["photos"][0]["probabilities"]) if result["photos"] else []
    for name in labels:
        table.add_column(shown(name), justify="right")
    for one in result["photos"]:
        chances = [f"{one['probabilities'][name]:.3f}" for name in labels]
        style = "bold" if one["action"] == REFER else None
        table.add_row(*(shown(one[key]) for key in ("path", "label", "action", "why")), *chances, style=style)
    console = results_console(soft_wrap=False)
    if labels:
        console.print(table)
    console.print(NOTICE, style="dim")


def _found(given: list[Any], maps: Path | None) -> tuple[list[Path], dict[str, str]]:
    """Every photo given or below a given folder, in order; and other files there, by path, with the reason.

    Pictures in the folder that maps are written to are not photos. Raises UserError where nothing is found.
    """
    paths: dict[Path, None] = {}
    unread: dict[str, str] = {}
    for name in given:
        place = Path(str(name)).expanduser()
        if not place.exists():
            raise UserError(f"no photo at {visible(str(place))}: give a photo or a folder of them")
        if not place.is_dir():
            paths[place] = None
            continue
        found = walk(place, follow_links=True)
        paths |= {place / path: None for path in found.photos if maps is None or not _below(place / path, maps)}
        lost = [other for other in found.others if other.lost]
        unread |= {visible(str(place / other.path)): f"{place / other.path}: {other.why}" for other in lost}
    if not paths and not unread:
        raise UserError(f"no photos in {', '.join(map(str, given))}: it holds none of {', '.join(sorted(SUFFIXES))}")
    return list(paths), {path: visible(why) for path, why in unread.items()}


def _below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _write_map(model: DecidingPredictor, picture: np.ndarray, decision: Decision, photo: Path, folder: Path) -> Path:
    """Draw the map of the answer over the working picture, with a scale and a caption; return its path."""
    from mpox.xai.pictures import captioned, percent

    raw = model.explain(picture)[1][0, model.labels.index(decision.label)]
    size = (picture.shape[1], picture.shape[0])
    map_HW = np.maximum(np.asarray(Image.fromarray(raw).resize(size, Image.Resampling.BILINEAR)), 0)
    peak = float(map_HW.max())
    lines = [
        f"{decision.label}: probability {percent(decision.probabilities[decision.label])}",
        *([f"Referred to a clinician: {decision.why}."] if decision.action == REFER else []),
        f"Colour: {METHOD} of {decision.label}."
        if peak > 0
        else f"The {METHOD} of {decision.label} is blank: nothing in this photo speaks for it.",
    ]
    # Photos of one name in several folders must not overwrite one another; names of files hold 255 bytes at most.
    place = hashlib.sha256(os.fsencode(photo.resolve())).hexdigest()[:6]
    name = f"{_cut(visible(photo.stem), 120)}-{place}-{_cut(decision.label, 60)}.png"
    with replacing(folder / name) as temporary:
        write_picture(captioned(picture, map_HW / peak if peak > 0 else map_HW, lines), temporary, "png")
    return folder / name


def _cut(text: str, size: int) -> str:
    """Return a part of a file's name: at most `size` bytes of UTF-8, without what separates folders."""
    return re.sub(r"[\\/:\0]", "_", text).encode()[:size].decode(errors="ignore")


def run(cfg: DictConfig) -> None:
    """Answer and print or write the answers; UserError after them where photos were left out."""
    result = predict(cfg)
    if cfg.format == "table" and cfg.out is None:
        show(result)
    elif cfg.out is None:
        sys.stdout.write(render(result, cfg.format))
        print(NOTICE, file=sys.stderr)
    else:
        form = cfg.format if cfg.format != "table" else Path(cfg.out).suffix.removeprefix(".")
        if form not in FORMATS[1:]:
            raise UserError(f"out={cfg.out} is neither .json nor .csv: name it so, or give format=json or format=csv")
        with replacing(Path(cfg.out)) as temporary:
            temporary.write_text(render(result, form), encoding="utf-8")
        print(f"{len(result['photos'])} photos: {cfg.out}. {NOTICE}")
    if result["unreadable"]:
        some = "; ".join(result["unreadable"].values())
        raise UserError(f"{len(result['unreadable'])} pictures were not answered, or their maps not drawn: {some}")
