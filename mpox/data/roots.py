"""What a folder of photos must not be: the folders of a split, copies of one set, or what this project wrote."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from mpox.console import visible
from mpox.data.names import alike, key
from mpox.data.walk import Walk
from mpox.errors import UserError

# Names of folders that hold the parts of a split: train, Testing, val_images, fold1, Fold 2, cv-3.
_PART = re.compile(
    r"((train|valid|test)(ing|ation)?|val|dev|eval(uation)?|hold ?out|(fold|split|cv|k|part)[ _-]?\d+)"
    r"([ _-]?(set|data|split|images|photos|\d+))?"
)
# Names that one message shows; the count is always whole.
SHOWN = 5


def check_outputs(found: Walk, root: object) -> None:
    """Raise UserError where the folder, or one in it that holds pictures, was written by this project."""
    if found.is_output:
        raise UserError(
            f"data.root={root} was written by mpox itself (a study, run, export, audit or release): give the folder of "
            "the photos, or train on a release with data=manifest data.manifest=<release>/manifest.csv"
        )
    if drawn := {place: count for place, count in found.outputs.items() if count}:
        named = ", ".join(visible(place.as_posix()) for place in sorted(drawn)[:SHOWN])
        raise UserError(
            f"data.root={root} holds results of mpox itself ({named}), with {sum(drawn.values())} pictures that are "
            "not photos: move them out of it, or give the folder of the photos alone as data.root"
        )


def check_parts(folders: Collection[str], root: object) -> None:
    """Raise UserError where the class folders are those of a split: two or more are, or all."""
    parts = sorted({name for name in folders if _PART.fullmatch(key(name))})
    if len(parts) > 1 or (parts and len(parts) == len(set(folders))):
        raise UserError(
            f"the class folders of data.root={root} are parts of a split ({', '.join(parts[:SHOWN])}), no classes: "
            "give data.class_level=-1 where the folder that holds a photo names its class, data.class_level=1 where "
            "the second below data.root does, or one of the parts as data.root"
        )


def check_labels(labels: Collection[str], where: str) -> None:
    """Raise UserError where two class names differ only in case, white space or how letters are composed."""
    if same := alike(labels):
        one, other = same[0][:2]
        raise UserError(
            f"{where} has classes whose names differ only in case, spaces or composed letters: {one!r} and {other!r}: "
            f"rename them alike, or give both one name, data.classes={{'{key(one)}': '{key(one)}', …}}"
        )


def check_copies(kept: pd.DataFrame, root: Path) -> None:
    """Raise UserError where more than half of the photos have exact copies among the others."""
    copied = kept["sha256"].duplicated(keep=False)
    if 2 * copied.sum() <= len(kept):
        return
    first = kept[copied].sort_values(["sha256", "path"])["path"].iloc[:2]
    raise UserError(
        f"{copied.sum()} of {len(kept)} photos of {root} are exact copies of others (such as {' and '.join(first)}): "
        "where its folders hold one set again and again (folds), give one of them as data.root; else let mpox.curate "
        "choose between copies"
    )


def empty_classes(found: Walk, level: int, used: Collection[str]) -> list[str]:
    """Return the class folders that hold nothing to train on, of those where classes are looked for (`level`).

    Folders of this project's results are none, and neither are folders between a class and its photos.
    """
    if level >= 0:
        places = [place for place in found.folders if len(place.parts) == level + 1]
        names = {place.parts[level]: place for place in places}
    else:
        inner = {place.parent for place in found.folders}
        leaves = [place for place in found.folders if place not in inner and len(place.parts) >= -level]
        names = {place.parts[level]: place for place in leaves}
    outputs = {parent for place in found.outputs for parent in place.parents}
    return sorted(name for name, place in names.items() if name not in used and place not in outputs)


def class_of(parts: Sequence[str], level: int) -> str | None:
    """Return the class folder among a photo's folders, None where there is none at that level."""
    return parts[level] if -len(parts) <= level < len(parts) else None
