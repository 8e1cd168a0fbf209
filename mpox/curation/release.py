"""A curated manifest becomes a data set to publish: square photos without metadata, and its documents.

    <folder>/images/<label>/<label>_0001.jpg   square, sRGB, no metadata
    <folder>/masks/<label>/<label>_0001.png    where the photos have lesion masks: the same crop, 0 or 255
    <folder>/manifest.csv                      trains as it is: data=manifest data.manifest=<folder>/manifest.csv
    <folder>/flow.svg                          how many photos each step removed and why
    <folder>/datasheet.md, croissant.json      for people, and for programs
    <folder>/SHA256SUMS                        for `sha256sum -c`; not of the datasheet, which people complete

File names, subject and group ids are new numbers, as the original ones may name people; the mapping stays with the
maker, in the key file.
"""

import hashlib
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from mpox.curation import croissant, datasheet
from mpox.curation.about import FORMATS, About, Pictures
from mpox.curation.decisions import parse_box
from mpox.curation.flow import draw, flow
from mpox.data.audited import AUDITED
from mpox.data.manifest import complete, write_manifest
from mpox.data.photos import decoded, open_regular
from mpox.data.picture_files import write_picture
from mpox.data.working_picture import square
from mpox.errors import UserError
from mpox.files import replacing, replacing_folder
from mpox.places import check_replaceable
from mpox.progress import watched

log = logging.getLogger("mpox")
CHECKSUMS, DATASHEET = "SHA256SUMS", "datasheet.md"
DATASHEET_BEFORE = "datasheet.before.md"
# Columns of an audited manifest that are released; scores that only served the audit are not.
HANDED_ON = ("ita", "ita_bin", AUDITED)


def write_release(
    curated: pd.DataFrame,
    root: Path,
    folder: Path,
    key: Path,
    about: About,
    pictures: Pictures,
    *,
    reviewers: int,
    overwrite: bool = False,
) -> int:
    """Write the kept photos of a curated manifest as a data set into `folder`, and `key` (released path to photo_id).

    The folder appears whole or not at all: it is built beside its place and renamed. `reviewers` is how many people
    decided. Returns how many places of the datasheet are left for a person to fill in. Raises UserError for a folder
    that exists (unless it is a release and `overwrite`), photos that changed since the audit, and labels that would
    share a folder.
    """
    _check_place(folder, overwrite)
    kept = curated[curated["keep"]].sort_values(["sha256", "photo_id"], ignore_index=True)
    places = _places(kept["label"], pictures)
    with replacing_folder(folder) as made:
        _check_place(folder, overwrite)  # again: a command that was killed may have left it renamed
        released = _released(kept, places, _write_pictures(kept, root, made, places, pictures), pictures.size)
        write_manifest(released, made / "manifest.csv")
        steps = flow(curated)
        (made / "flow.svg").write_text(draw(steps, f"{about.name} {about.version}: from photos to data set"), "utf-8")
        sheet, unfilled = datasheet.write(
            released, about=about, pictures=pictures, steps=steps, kept=kept, reviewers=reviewers
        )
        (made / DATASHEET).write_text(sheet, encoding="utf-8")
        _keep_datasheet(folder, made, sheet)
        croissant.write(made, released, about, FORMATS[pictures.format][1])
        _write_checksums(made)
        # Before the folder has its name: killed between the two, the command typed again makes both.
        with replacing(key) as file:
            pd.DataFrame({"path": places, "photo_id": kept["photo_id"]}).sort_values("path").to_csv(file, index=False)
    return unfilled


def _keep_datasheet(folder: Path, made: Path, sheet: str) -> None:
    """Keep the datasheet of the release that is replaced, where a person may have filled it, beside the new one."""
    for name in (DATASHEET, DATASHEET_BEFORE):
        before = folder / name
        if before.is_file() and before.read_text(encoding="utf-8") != sheet:
            (made / DATASHEET_BEFORE).write_bytes(before.read_bytes())
            words = "%s differs from the new one and is kept as %s: copy into the new one what you wrote"
            log.warning(words, before, DATASHEET_BEFORE)
            return


def prepared(path: Path, box: str, width: int, size: int, interpolation: str) -> np.ndarray:
    """Return one photo, or its mask, as released: upright, sRGB, cropped, (size, size, 3) uint8.

    `box` (none: the centre square) is in pixels of a photo of this `width`; a mask, or a very large photo that is read
    at half its side, has fewer.
    """
    with decoded(path) as photo:
        picture = photo.picture
        if place := parse_box(box):
            share = picture.width / width
            left, top, side = (round(value * share) for value in place)
            side = max(1, side)
            picture = picture.crop((left, top, left + side, top + side))
        return square(picture, size, interpolation)


def _check_place(folder: Path, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not overwrite:
        raise UserError(f"{folder} exists: give another to=, or overwrite=true to replace it")
    if not ((folder / CHECKSUMS).is_file() and (folder / "croissant.json").is_file()):
        raise UserError(f"{folder} exists and is not a release, so it is not replaced: give another to=")
    lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    ours = {CHECKSUMS, DATASHEET, DATASHEET_BEFORE, *(line.partition("  ")[2] for line in lines)}
    check_replaceable(folder, ours.__contains__, "release", "to")


def _places(labels: pd.Series, pictures: Pictures) -> list[str]:
    """Return each photo's path in the release, numbered within its label."""
    names = {label: re.sub(r"[^\w-]+", "_", label) for label in labels.unique()}
    if len(set(names.values())) < len(names):
        raise UserError(f"the labels {', '.join(sorted(names))} differ only in signs a folder cannot have: rename one")
    ending = FORMATS[pictures.format][0]
    numbers = labels.groupby(labels).cumcount() + 1
    return [
        f"images/{names[label]}/{names[label]}_{number:04d}{ending}"
        for label, number in zip(labels, numbers, strict=True)
    ]


def _write_pictures(
    kept: pd.DataFrame, root: Path, made: Path, places: list[str], pictures: Pictures
) -> list[tuple[str, int, str]]:
    """Write every photo and mask. Returns sha256, bytes and mask path of each; UserError for photos that changed."""

    def write(row: tuple[str, str, str, str, int], place: str) -> tuple[str, int, str] | None:
        path, sha256, mask, box, width = row
        with open_regular(root / path) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return None
        pixels = prepared(root / path, box, width, pictures.size, pictures.interpolation)
        target = made / place
        target.parent.mkdir(parents=True, exist_ok=True)
        options = {"quality": pictures.quality, "subsampling": 0} if pictures.format == "jpeg" else {"optimize": True}
        write_picture(pixels, target, **options)
        mask_place = _write_mask(root / mask, box, width, pictures.size, made, place) if mask else ""
        content = target.read_bytes()
        return hashlib.sha256(content).hexdigest(), len(content), mask_place

    rows = list(kept[["path", "sha256", "mask", "box", "width"]].itertuples(index=False, name=None))
    try:
        with ThreadPoolExecutor() as pool:
            written = list(watched(pool.map(write, rows, places), f"writing {len(rows)} photos", len(rows)))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: restore it, or audit the photos again") from error
    if changed := [row[0] for row, facts in zip(rows, written, strict=True) if facts is None]:
        raise UserError(
            f"{len(changed)} photos changed since the audit (first: {changed[0]}): restore them or audit again"
        )
    return [facts for facts in written if facts is not None]


def _write_mask(path: Path, box: str, photo_width: int, size: int, made: Path, place: str) -> str:
    """Crop a mask as its photo and write it, 0 or 255; returns its path in the release."""
    pixels = prepared(path, box, photo_width, size, "bilinear")[..., 0]
    target = made / Path(place.replace("images/", "masks/", 1)).with_suffix(".png")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_picture(np.where(pixels >= 128, 255, 0).astype(np.uint8), target, optimize=True)
    return target.relative_to(made).as_posix()


def _released(kept: pd.DataFrame, places: list[str], written: list[tuple[str, int, str]], side: int) -> pd.DataFrame:
    """Return the manifest of the release: complete, without anything that names people or places."""
    frame = pd.DataFrame({"path": places, "label": kept["label"], "source": kept["source"]})
    subjects = (kept["source"] + "/" + kept["subject"]).where(kept["subject"] != "")
    frame["subject"] = _numbered(subjects, "S")
    frame["group"] = _numbered(kept["group"], "G")
    for column in HANDED_ON:
        if column in kept:
            frame[column] = kept[column]
    frame["sha256"], frame["bytes"], frame["mask"] = zip(*written, strict=True)
    return complete(frame.assign(width=side, height=side), "")


def _numbered(values: pd.Series, letter: str) -> list[str]:
    codes, _ = pd.factorize(values)  # in order of appearance, which is that of the contents' hashes
    return [f"{letter}{code + 1:04d}" if code >= 0 else "" for code in codes]


def _write_checksums(made: Path) -> None:
    filled_later = (DATASHEET, DATASHEET_BEFORE)
    files = sorted(path for path in made.rglob("*") if path.is_file() and path.name not in filled_later)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(made).as_posix()}\n" for path in files
    ]
    (made / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
