"""Explain the photos of a run in batches: overlays, raw maps, an index and contact sheets on disk."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from mpox.data.picture_files import write_picture
from mpox.errors import UserError
from mpox.files import replacing_folder, write_json
from mpox.places import check_replaceable
from mpox.progress import watched
from mpox.runs.opened import OpenedRun, logits_of
from mpox.xai.cams import Explainer, is_blank, shown
from mpox.xai.pictures import WARNING, Tile, contact_sheet, overlay, percent

# Photos on one contact sheet.
SHEET = 24
# What this module writes into a folder, which is replaced as a whole.
_OURS = re.compile(r"overlays/\d+\.png|maps/\d+\.npz|index\.parquet|about\.json|sheet-\w+\.png")


def explain_photos(
    run: OpenedRun, explainer: Explainer, rows: np.ndarray, folder: Path, *, target: str, batch_size: int
) -> pd.DataFrame:
    """Explain the photos `rows` of a run and replace `folder`, whole or not at all.

    `target` is the class to explain: `predicted`, `recorded` (the label) or a class by name. Writes
        overlays/<n>.png      the photo with its map, n the row of the manifest
        maps/<n>.npz          map: raw, signed, un-normalised, (h, w) float32; scale: its largest value; layer, method,
                              target, photo_id
        index.parquet         one row a photo (also returned): photo_id, path, group, split, label, predicted,
                              confidence (0..1), correct, target, blank, scale, overlay, map, row
        sheet-confident.png   most confident first;  sheet-mistakes.png  mistakes, most confident first
        about.json            method, layer, run, number of photos and of blank maps; caution, where none is held out
    Memory does not grow with the number of photos. Raises UserError for no photos or an unknown class.
    """
    if not len(rows):
        raise UserError(f"{run.path} has no photos of that split to explain: choose another split=")
    _check_target(target, run.card.classes)
    if folder.exists():
        check_replaceable(folder, lambda name: _OURS.fullmatch(name) is not None, "folder of explanations")
    with replacing_folder(folder) as place:
        (place / "overlays").mkdir(parents=True)
        (place / "maps").mkdir()
        parts = np.array_split(rows, -(-len(rows) // batch_size))
        found = [entry for part in watched(parts, f"explaining {len(rows)} photos", len(parts))
                 for entry in _explain_batch(run, explainer, part, place, target)]  # fmt: skip
        index = pd.DataFrame(found)
        index.to_parquet(place / "index.parquet", index=False)
        _write_sheets(run, explainer, index, place)
        facts = {"method": explainer.method, "layer": explainer.layer, "run": run.name, "target": target}
        facts |= {"caution": run.caution} if run.caution else {}
        write_json(place / "about.json", {**facts, "photos": len(index), "blank": int(index["blank"].sum())})
    return index


def _explain_batch(
    run: OpenedRun, explainer: Explainer, rows: np.ndarray, place: Path, target: str
) -> list[dict[str, object]]:
    images = run.images(rows)
    shares = logits_of(run.network, images, len(images)).double().softmax(1)
    guesses, truths = shares.argmax(1), torch.from_numpy(run.photos["target"].to_numpy()[rows])
    classes = run.card.classes
    by_row = {"predicted": guesses, "recorded": truths}.get(target)
    targets = by_row if by_row is not None else torch.full_like(guesses, classes.index(target))
    raw = explainer(images, targets)
    maps = shown(raw, images.shape[-1])
    entries: list[dict[str, object]] = []
    for k, row in enumerate(rows):
        photo = run.photos.iloc[row]
        overlay_name, map_name = f"overlays/{row}.png", f"maps/{row}.npz"
        write_picture(overlay(run.pixels[row], maps[k]), place / overlay_name)
        scale = float(raw[k].max())
        about: dict[str, Any] = {
            "layer": explainer.layer,
            "method": explainer.method,
            "target": classes[int(targets[k])],
        }
        np.savez_compressed(place / map_name, map=raw[k], scale=scale, photo_id=photo["photo_id"], **about)
        entries.append(
            {
                **{name: photo[name] for name in ("photo_id", "path", "group")},
                "split": photo["role"],
                "label": classes[int(truths[k])],
                "predicted": classes[int(guesses[k])],
                "confidence": float(shares[k].max()),
                "correct": bool(guesses[k] == truths[k]),
                "target": about["target"],
                "blank": bool(is_blank(raw[k : k + 1])[0]),
                "scale": scale,
                "overlay": overlay_name,
                "map": map_name,
                "row": int(row),
            }
        )
    return entries


def _write_sheets(run: OpenedRun, explainer: Explainer, index: pd.DataFrame, place: Path) -> None:
    ordered = index.sort_values("confidence", ascending=False)
    wrong = ordered[~ordered["correct"]]
    subtitle = f"{run.name} · {explainer.method} at {explainer.layer} · bright: evidence for the class shown"
    warning = f"{WARNING} {run.caution}".strip()
    for name, chosen, title in (
        ("confident", ordered, f"Most confident first, {min(SHEET, len(ordered))} of {len(ordered)} photos"),
        ("mistakes", wrong, f"Mistakes, most confident first: {len(wrong)} of {len(ordered)} photos"),
    ):
        tiles = [_tile(run, entry, place) for entry in chosen.head(SHEET).to_dict("records")]
        write_picture(contact_sheet(tiles, title, subtitle, warning), place / f"sheet-{name}.png")


def _tile(run: OpenedRun, entry: dict[Any, Any], place: Path) -> Tile:
    with Image.open(place / str(entry["overlay"])) as picture:
        overlaid = np.asarray(picture)
    answer = f"predicted {entry['predicted']}, confidence {percent(entry['confidence'])}"
    if entry["blank"]:
        answer += f" · no evidence for {entry['target']}"
    elif entry["target"] != entry["predicted"]:
        answer += f" · map of {entry['target']}"
    row = entry["row"]
    return Tile(
        run.pixels[row], overlaid, (f"is {entry['label']}", answer, str(entry["photo_id"])), bool(entry["correct"])
    )


def _check_target(target: str, classes: tuple[str, ...]) -> None:
    if target not in ("predicted", "recorded", *classes):
        raise UserError(f"target={target} is unknown: choose predicted, recorded or a class ({', '.join(classes)})")
