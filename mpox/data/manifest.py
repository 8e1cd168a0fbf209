"""The manifest: one row a photo, the first of the four files that everything passes through.

| column | type | meaning |
|---|---|---|
| photo_id | str | `<source>/<path>`: unique, readable, what the splits file and the predictions name |
| path | str | POSIX path relative to the photo root |
| label | str | class name |
| source | str | which collection the photo comes from |
| subject | str | patient or other origin; empty when unknown |
| group | str | photos that must never be split between folds share it |
| sha256 | str | of the file's bytes |
| bytes, width, height | int | size of the file; of the upright picture in pixels |
| mask | str | path of a lesion mask relative to the root; empty when there is none |
| keep | bool | false: left out of training and evaluation |
| reason | str | why it is left out, or what curation noted, in words |
| reason_kind | str | the same as a kind that is counted (undecodable, label_conflict); empty for a person's own |
| reason_other | str | photo_id of the other photo, where it is left out because of one |
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from mpox.data.csv_table import read_csv
from mpox.errors import UserError
from mpox.files import replacing
from mpox.places import leaves

TEXT_COLUMNS = ("photo_id", "path", "label", "source", "subject", "group", "sha256", "mask")
REASON_COLUMNS = ("reason", "reason_kind", "reason_other")
PATH_COLUMNS = ("path", "mask")
COUNT_COLUMNS = ("bytes", "width", "height")
COLUMNS = (
    *("photo_id", "path", "label", "source", "subject", "group", "sha256"),
    *("bytes", "width", "height", "mask", "keep", *REASON_COLUMNS),
)
_TRUE, _FALSE = {"true", "1", "yes", "keep"}, {"false", "0", "no", "drop"}


def complete(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Fill the columns a partial manifest lacks and put all in order, one row a photo, sorted by photo_id.

    `path` and `label` must be there. Missing: photo_id becomes `<source>/<path>`, subject, mask and reason are empty,
    keep is true, and group is `<source>/<subject>` or, without a subject, the photo itself. Columns the manifest does
    not define (skin tone, quality scores) are kept at the end. Raises UserError for what is missing or repeated.
    """
    for column in ("path", "label"):
        if column not in frame:
            raise UserError(f"the manifest has no column '{column}' (it has: {', '.join(map(str, frame.columns))})")
    frame = frame.reset_index(drop=True).copy()
    if "reason" in frame and "reason_kind" not in frame:
        frame["reason_kind"] = as_text(frame["reason"]).map(_kind_in_words)
    for column in (*TEXT_COLUMNS, *REASON_COLUMNS):
        values = frame[column] if column in frame else pd.Series("", index=frame.index)
        values = as_text(values)
        # A file's name may begin or end with a space.
        frame[column] = values if column in PATH_COLUMNS else values.str.strip()
    for column in COUNT_COLUMNS:
        values = frame[column] if column in frame else pd.Series(0, index=frame.index)
        numbers = pd.to_numeric(values.astype(object), errors="coerce").astype("float64")
        frame[column] = numbers.where(np.isfinite(numbers), 0).astype("int64")
    frame["sha256"] = frame["sha256"].str.lower()  # Windows writes capitals
    frame["keep"] = _as_bool(frame["keep"]) if "keep" in frame else True
    for column in ("path", "label"):
        empty = frame.index[frame[column].str.strip() == ""]
        if len(empty):
            raise UserError(f"the manifest has no {column} in row {empty[0] + 1} ({len(empty)} such rows): fill it in")
    frame["source"] = frame["source"].where(frame["source"] != "", source)
    frame["photo_id"] = frame["photo_id"].where(frame["photo_id"] != "", frame["source"] + "/" + frame["path"])
    by_subject = (frame["source"] + "/" + frame["subject"]).where(frame["subject"] != "", frame["photo_id"])
    frame["group"] = frame["group"].where(frame["group"] != "", by_subject)
    repeated = frame.loc[frame["photo_id"].duplicated(), "photo_id"]
    if len(repeated):
        raise UserError(f"the manifest names {repeated.iloc[0]} twice ({len(repeated)} repeated): keep one row a photo")
    extra = [column for column in frame.columns if column not in COLUMNS]
    return frame[[*COLUMNS, *extra]].sort_values("photo_id", ignore_index=True)


def read_manifest(path: Path, source: str | None = None, *, root: Path | None = None) -> pd.DataFrame:
    """Read a manifest (`.csv`, `.tsv` or `.parquet`) and `complete` it. `source` defaults to the name of its folder.

    `root` is given for a table from elsewhere: its paths are matched with the files there (see `_below`). Raises
    UserError when the file is missing, unreadable, of another type or incomplete, or names a path outside `root`.
    """
    if not path.is_file():
        raise UserError(f"no manifest at {path}: give data.manifest=<file.csv|file.parquet>")
    try:
        if path.suffix.lower() in (".csv", ".tsv"):
            frame = read_csv(path, COLUMNS)
        elif path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
        else:
            raise UserError(f"{path}: a manifest is a .csv or a .parquet file, not {path.suffix or 'without ending'}")
        if root is not None:
            for column in set(PATH_COLUMNS) & set(frame.columns):
                frame[column] = _below(root, frame[column])
        return _staying(complete(frame, source or path.resolve().parent.name))
    except UserError as error:
        raise UserError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a manifest ({error})") from error


def as_text(values: pd.Series) -> pd.Series:
    """Return a column of any type, pandas' categories too, as text (str); missing values are empty."""
    return values.astype(object).where(values.notna(), "").astype(str)


def _staying(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a manifest whose paths stay below the folder they start in. Raises UserError naming one that does not."""
    for column in PATH_COLUMNS:
        if away := [path for path in frame[column] if leaves(path)]:
            raise UserError(
                f"{away[0]} leads out of the folder that its paths start in ({len(away)} such {column}s): give "
                "data.root=<a folder that holds all> and write the paths relative to it"
            )
    return frame


def _below(root: Path, paths: pd.Series) -> list[str]:
    """Return paths of a hand-written or Windows table, spelt as the files below `root`.

    Where there is no file of a path as it is written, spaces around it and backslashes in it are corrected.
    """
    found = []
    for path in as_text(paths):
        meant = path.strip().replace("\\", "/")
        found.append(path if meant != path and path and os.path.lexists(root / path) else meant)
    return found


def write_manifest(frame: pd.DataFrame, path: Path) -> None:
    """Write a complete manifest as parquet or CSV by the ending of `path`, atomically."""
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)


def reasons(manifest: pd.DataFrame) -> pd.Series:
    """Return why each photo is left out as it is counted (str, N): the kind, else a person's own words."""
    kinds = manifest["reason_kind"].str.replace("_", " ")
    words = manifest["reason"].where(manifest["reason"] != "", "no reason given")
    return kinds.where(kinds != "", words)


def _kind_in_words(reason: str) -> str:
    """Return the kind of a reason in manifests that were written before kinds were a column."""
    for beginning, known in (("label conflict with ", "label_conflict"), ("unsupported format ", "unsupported_format")):
        if reason.startswith(beginning):
            return known
    kind, colon, _ = reason.partition(": ")
    return kind if colon and kind.replace("_", "").isalpha() and kind.islower() else ""


def _as_bool(values: pd.Series) -> pd.Series:
    text = values.astype(str).str.strip().str.lower()
    unknown = ~text.isin(_TRUE | _FALSE)
    if unknown.any():
        raise UserError(f"the manifest's column 'keep' holds '{values[unknown].iloc[0]}': write true or false")
    return text.isin(_TRUE)
