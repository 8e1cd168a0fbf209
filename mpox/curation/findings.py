"""What an audit found, as four plain files: the audited manifest, a table of findings, a table of pairs, a summary.

`findings.parquet`, one row a finding:

| column | type | meaning |
|---|---|---|
| photo_id | str | of the manifest |
| kind | str | one of KINDS' keys |
| evidence | str | what was seen and measured, one readable line |
| score | float64 | the measure behind it; NaN where there is none |
| other | str | photo_id of the other photo where the finding is about two; else empty |
| action | str | suggested: drop, review, group or keep |

`pairs.parquet`, one row a pair of photos that show the same picture: photo_id < other, kind (exact_duplicate,
near_duplicate or same_source), score (correlation of the aligned pixels, -1..1), evidence. A photo has one finding of
each kind about pairs (with its strongest partner), but is in as many pairs as there are.

The manifest has the columns of `mpox.data.manifest`, then those of MEASURES. Photos that cannot be read are rows too:
keep=false, a reason, width 0. Its paths are relative to `audit.root`, the folder that holds all photo sets.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mpox.command_line import command
from mpox.curation.kinds import KINDS
from mpox.data.audited import photos_key
from mpox.data.manifest import COLUMNS, read_manifest, write_manifest
from mpox.errors import UserError
from mpox.files import read_json, read_record, replacing, write_json

FINDING_COLUMNS = ("photo_id", "kind", "evidence", "score", "other", "action")
PAIR_COLUMNS = ("photo_id", "other", "kind", "score", "evidence")
# Measures added to the manifest: skin tone, then the quality scores of `mpox.curation.quality`. NaN where unknown.
MEASURES = (
    *("ita", "ita_bin", "sharpness", "bright_share", "dark_share", "border_share", "text_share", "colourfulness"),
    *("skin_share", "unlike"),
)
AUDIT_VERSION = "1"
FILES = ("manifest.parquet", "findings.parquet", "pairs.parquet", "audit.json")


@dataclass(frozen=True)
class Audit:
    """The four tables; see the module. `summary` is JSON-able: root, counts, thresholds, versions, seconds."""

    manifest: pd.DataFrame
    findings: pd.DataFrame
    pairs: pd.DataFrame
    summary: dict[str, Any]

    @property
    def root(self) -> Path:
        """The folder the manifest's paths are relative to."""
        return Path(self.summary["root"])

    @property
    def key(self) -> str:
        """16 hex digits that name the photos audited (ids and contents): the same photos have the same key."""
        return photos_key(self.manifest)

    @property
    def state(self) -> str:
        """16 hex digits of all that decisions are applied to: the manifest but for measures, and what is suggested.

        Another audit of the same photos, with other labels, subjects or thresholds, has the same key and another state.
        """
        told = [self.manifest[list(COLUMNS)], self.findings[["photo_id", "kind", "other", "action"]]]
        text = json.dumps([*(table.to_numpy().tolist() for table in told), self.summary.get("same_labels", {})])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def findings_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows (photo_id, kind, evidence and optionally score, other, action) as a findings table.

    Sorted by kind in the order of KINDS, then by photo. ValueError for a kind KINDS does not have.
    """
    # Objects: an empty column would otherwise be one of floats, which takes no text.
    frame = pd.DataFrame(rows, columns=list(FINDING_COLUMNS), dtype=object)
    if unknown := sorted(set(frame["kind"]) - set(KINDS)):
        raise ValueError(f"no such kinds of findings: {unknown}")
    frame["action"] = frame["action"].where(
        frame["action"].notna(), frame["kind"].map({name: kind.action for name, kind in KINDS.items()})
    )
    frame = frame.fillna({"other": "", "evidence": ""}).astype({"score": "float64"})
    text = [column for column in FINDING_COLUMNS if column != "score"]
    frame[text] = frame[text].astype(str)
    rank = frame["kind"].map({kind: k for k, kind in enumerate(KINDS)})
    return frame.assign(rank=rank).sort_values(["rank", "photo_id", "other"], ignore_index=True).drop(columns="rank")


def write_audit(audit: Audit, folder: Path) -> None:
    """Write the four files into `folder` (made where missing), each atomically, audit.json last."""
    write_manifest(audit.manifest, folder / FILES[0])
    for table, name in ((audit.findings, FILES[1]), (audit.pairs, FILES[2])):
        with replacing(folder / name) as temporary:
            table.to_parquet(temporary, index=False)
    write_json(folder / FILES[3], audit.summary)


def is_audit(folder: Path) -> bool:
    """Return whether a folder without a marker holds an audit, whole or begun, of a version that set no marker."""
    try:
        content = read_json(folder / FILES[3]) if (folder / FILES[3]).is_file() else None
    except UserError:
        return False
    if content is None:
        return [path.name for path in folder.iterdir()] == [".cache"]
    return isinstance(content, dict) and {"version", "thresholds", "no_photos"} <= content.keys()


def read_audit(folder: Path) -> Audit:
    """Read what `write_audit` wrote. Raises UserError where a file is missing or is not an audit's."""
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise UserError(
            f"{folder} holds no audit ({missing[0]} is missing): run {command('mpox.curate', 'audit', output=folder)}"
        )
    tables = []
    for name, columns in ((FILES[1], FINDING_COLUMNS), (FILES[2], PAIR_COLUMNS)):
        try:
            table = pd.read_parquet(folder / name)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder / name}: cannot be read ({error}): run the audit again") from error
        if list(table.columns) != list(columns):
            raise UserError(f"{folder / name} is not of this version's audit: run the audit again")
        tables.append(table)
    return Audit(read_manifest(folder / FILES[0]), tables[0], tables[1], read_record(folder / FILES[3]))
