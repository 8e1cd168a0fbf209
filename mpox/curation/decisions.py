"""What a person decided of each photo: a plain CSV, one row a photo, made to be kept under version control.

| column | meaning |
|---|---|
| photo_id | of the manifest |
| decision | keep, drop or relabel |
| label | the new label of a relabelled photo; else empty |
| box | crop of the photo as `left top side`, whole pixels of the upright photo; empty: the centre square |
| reason | why, in the reviewer's words |
| reviewer | who |
| at | when, ISO 8601 |
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sklearn.metrics import cohen_kappa_score

from mpox.data.csv_table import read_csv
from mpox.errors import UserError
from mpox.files import replacing

DECISION_COLUMNS = ("photo_id", "decision", "label", "box", "reason", "reviewer", "at")
DECISIONS = ("keep", "drop", "relabel")
CONFLICT_COLUMNS = ("photo_id", "about", "first", "first_reason", "first_by", "second", "second_reason", "second_by")
_BOX = re.compile(r"\d+ \d+ [1-9]\d*")


@dataclass(frozen=True)
class Merged:
    """Two reviewers' decisions as one, what they disagree about, and how well they agree.

    `decisions` holds what they agree on and what only one of them decided; `conflicts` (CONFLICT_COLUMNS) the rest.
    `both` is the number of photos both decided; `kappa` Cohen's kappa over them, None where it is undefined (no photo
    in common, or both gave one same answer throughout).
    """

    decisions: pd.DataFrame
    conflicts: pd.DataFrame
    both: int
    kappa: float | None


def read_decisions(path: Path) -> pd.DataFrame:
    """Read a decisions file and check it. Returns DECISION_COLUMNS, all str, sorted by photo_id.

    Raises UserError, naming file and row, for a missing file or column, an unknown decision, a relabelling without a
    label, a label without a relabelling, a malformed box, and a photo decided twice.
    """
    if not path.is_file():
        raise UserError(f"no decisions at {path}: give decisions=<file.csv> as the review page exports it")
    frame = read_csv(path, DECISION_COLUMNS)
    if missing := [column for column in DECISION_COLUMNS[:2] if column not in frame]:
        raise UserError(f"{path} has no column '{missing[0]}': a decisions file has {', '.join(DECISION_COLUMNS)}")
    frame = frame.reindex(columns=list(DECISION_COLUMNS), fill_value="").apply(lambda column: column.str.strip())
    frame["decision"] = frame["decision"].str.lower()
    for number, row in zip(frame.index, frame.itertuples(index=False), strict=True):
        if problem := _problem(str(row.photo_id), str(row.decision), str(row.label), str(row.box)):
            raise UserError(f"{path}, line {number}: {problem}")
    repeated = frame.loc[frame["photo_id"].duplicated(), "photo_id"]
    if len(repeated):
        raise UserError(f"{path} decides {repeated.iloc[0]} twice ({len(repeated)} repeated): keep one row a photo")
    return frame.sort_values("photo_id", ignore_index=True)


def write_decisions(frame: pd.DataFrame, path: Path) -> None:
    """Write decisions (or conflicts) as CSV, sorted by photo, atomically."""
    with replacing(path) as temporary:
        frame.sort_values("photo_id").to_csv(temporary, index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")


def parse_box(box: str) -> tuple[int, int, int] | None:
    """Return (left, top, side) in pixels of a checked box, None for an empty one."""
    if not box:
        return None
    left, top, side = map(int, box.split())
    return left, top, side


def check_against(decisions: pd.DataFrame, manifest: pd.DataFrame, new_labels: Sequence[str] = ()) -> None:
    """Raise UserError where decisions do not fit the manifest they are to be applied to.

    That is: a photo the manifest lacks, a label that neither the manifest nor `new_labels` has, keeping a photo that
    cannot be read (its width is 0), and a box that is not within its photo.
    """
    photos = manifest.set_index("photo_id")
    if len(unknown := decisions.loc[~decisions["photo_id"].isin(photos.index), "photo_id"]):
        raise UserError(
            f"the decisions name {len(unknown)} photos the audit does not have (first: {unknown.iloc[0]}): they belong "
            "to another audit, or the photos were moved"
        )
    labels = {*manifest["label"], *new_labels}
    for row in decisions.to_dict("records"):
        name, label, photo = row["photo_id"], row["label"], photos.loc[row["photo_id"]]
        if row["decision"] == "relabel" and label not in labels:
            raise UserError(
                f"{name} is relabelled '{label}', which no photo has ({', '.join(sorted(labels))}): correct the name, "
                f"or add it with new_labels=[{label}]"
            )
        if row["decision"] != "drop" and photo["width"] == 0:
            raise UserError(f"{name} cannot be read ({photo['reason']}), so it cannot be kept: repair the file")
        box = parse_box(row["box"])
        if box and (box[0] + box[2] > photo["width"] or box[1] + box[2] > photo["height"]):
            size = f"{photo['width']}x{photo['height']}"
            raise UserError(f"{name}: the box '{row['box']}' (left top side) reaches out of its {size} pixels")


def merge(first: pd.DataFrame, second: pd.DataFrame) -> Merged:
    """Merge two reviewers' decisions; nothing they disagree about is resolved.

    A conflict is about the `decision` (another decision or another new label) or, where that is the same, about the
    `box`. Agreement is Cohen's kappa (1960, doi 10.1177/001316446002000104) over the photos both decided; its
    categories are keep, drop, and relabel to each label.
    """
    one, two = first.set_index("photo_id"), second.set_index("photo_id")
    both = sorted(set(one.index) & set(two.index))
    verdicts = [_verdict(frame.loc[both]) for frame in (one, two)]
    conflicts, agreed = [], []
    for photo, verdict_a, verdict_b in zip(both, *verdicts, strict=True):
        a, b = one.loc[photo], two.loc[photo]
        if verdict_a != verdict_b:
            conflicts.append((photo, "decision", verdict_a, a.reason, a.reviewer, verdict_b, b.reason, b.reviewer))
        elif a.box != b.box:
            conflicts.append((photo, "box", a.box, a.reason, a.reviewer, b.box, b.reason, b.reviewer))
        else:
            reasons, reviewers = _union(a.reason, b.reason), _union(a.reviewer, b.reviewer)
            agreed.append((photo, a.decision, a.label, a.box, reasons, reviewers, max(a["at"], b["at"])))
    alone = [frame[~frame["photo_id"].isin(both)] for frame in (first, second)]
    together = pd.DataFrame(agreed, columns=list(DECISION_COLUMNS), dtype=str)
    kappa = None
    if len({*verdicts[0], *verdicts[1]}) > 1:  # with one category throughout, agreement by chance is certain
        kappa = float(cohen_kappa_score(*verdicts))
    return Merged(
        pd.concat([together, *alone], ignore_index=True).sort_values("photo_id", ignore_index=True),
        pd.DataFrame(conflicts, columns=list(CONFLICT_COLUMNS), dtype=str),
        len(both),
        kappa,
    )


def _problem(photo: str, decision: str, label: str, box: str) -> str:
    """Return what is wrong with one row; empty where nothing is."""
    if not photo:
        return "there is no photo_id"
    if decision not in DECISIONS:
        return f"'{decision}' is not a decision: write {', '.join(DECISIONS)}"
    if decision == "relabel" and not label:
        return f"{photo} is relabelled, but to no label: fill in the column label"
    if decision != "relabel" and label:
        return f"{photo} has the label '{label}' but is not relabelled: write relabel, or empty the column label"
    if box and not _BOX.fullmatch(box):
        return f"the box '{box}' of {photo} is not 'left top side' in whole pixels"
    return ""


def _verdict(frame: pd.DataFrame) -> list[str]:
    """Return decision and new label as one category a photo."""
    return [f"{row.decision} {row.label}".strip() for row in frame.itertuples()]


def _union(a: str, b: str) -> str:
    return a if a == b or not b else b if not a else f"{a}; {b}"
