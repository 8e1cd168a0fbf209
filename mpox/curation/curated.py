"""An audit and its decisions become the curated manifest: what is kept, under which label, and why the rest is not.

Columns added to those of the audited manifest: `decision` (keep, drop, relabel; `suggested` where the audit's own
suggestion was followed; empty where undecided), `original_label`, and `box` (as in `mpox.curation.decisions`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mpox.curation.decisions import check_against
from mpox.curation.duplicates import between_copies
from mpox.curation.findings import Audit
from mpox.data.audited import AUDITED, with_labels
from mpox.errors import UserError

SUGGESTED = "suggested"
CONFLICTS, UNDECIDED = ("stop", "drop", "keep"), ("keep", "suggested")
# How many pairs one message names; the count is always whole.
NAMED = 3


@dataclass(frozen=True)
class Curated:
    """The curated manifest, and notes for its maker, one line each."""

    manifest: pd.DataFrame
    remarks: list[str]


def apply_decisions(
    audit: Audit,
    decisions: pd.DataFrame,
    *,
    undecided: str = "keep",
    conflicts: str = "stop",
    new_labels: Sequence[str] = (),
) -> Curated:
    """Apply checked decisions to an audit.

    An undecided photo stays as the audit left it; with `undecided` "suggested" it is dropped where the audit
    suggests so, except that one of the photos of a picture stays, and that label conflicts are left to people.
    `conflicts` is what happens to two kept photos of one picture under two labels, at least one of them undecided:
    "stop", "drop" both, or "keep". Raises UserError for another value, for conflicts to stop at, where no photo is
    left, and as `check_against` does.
    """
    for name, value, allowed in (("undecided", undecided, UNDECIDED), ("conflicts", conflicts, CONFLICTS)):
        if value not in allowed:
            raise UserError(f"{name}={value} is unknown: choose {', '.join(allowed)}")
    check_against(decisions, audit.manifest, new_labels)
    frame = audit.manifest.set_index("photo_id").assign(decision="", box="")
    frame["original_label"] = frame["label"]
    decided = decisions.set_index("photo_id")
    dropped = decided["decision"] == "drop"
    frame.loc[decided.index, ["decision", "box"]] = decided[["decision", "box"]]
    frame.loc[decided.index, "keep"] = ~dropped
    frame.loc[decided.index, "reason"] = decided["reason"].mask(dropped & (decided["reason"] == ""), "no reason given")
    frame.loc[decided.index, ["reason_kind", "reason_other"]] = ""
    frame.loc[decided.index, "label"] = decided["label"].where(decided["label"] != "", frame["label"])
    if AUDITED in frame:  # the label that a person gave is no change since the audit
        frame[AUDITED] = with_labels(frame[AUDITED], frame["label"])
    if undecided == "suggested":
        _follow_suggestions(frame, audit.findings)
    remarks = _settle_conflicts(frame, audit.pairs, conflicts, audit.summary.get("same_labels", {}))
    if not frame["keep"].any():
        raise UserError("no photo is left: every one is dropped; change the decisions")
    columns = [*audit.manifest.columns, *(name for name in frame.columns if name not in audit.manifest)]
    return Curated(frame.reset_index()[columns], [*remarks, *_what_is_open(frame, audit.findings)])


def is_of(curated: pd.DataFrame, audit: Audit) -> bool:
    """Return whether a curated manifest says of each photo what the audit does, before decisions.

    For those that earlier versions made, which recorded the photos' ids and contents alone.
    """
    before = curated.assign(label=curated["original_label"]) if "original_label" in curated else curated
    columns = ["photo_id", "path", "label", "source", "subject", "group", "sha256", "mask"]
    return before[columns].reset_index(drop=True).equals(audit.manifest[columns].reset_index(drop=True))


def _follow_suggestions(frame: pd.DataFrame, findings: pd.DataFrame) -> None:
    """Drop what the findings suggest to drop; of photos that show one picture, the last one kept stays.

    Of a label conflict it is not known which label is right: both photos go where that is suggested, and otherwise
    neither does for any other reason.
    """
    at_odds = findings["kind"] == "label_conflict"
    left_to_people = findings[at_odds & (findings["action"] != "drop")]
    spared = set(left_to_people[["photo_id", "other"]].to_numpy().flat)
    suggested = findings[findings["action"] == "drop"]
    content = frame["sha256"]
    kept = Counter(frame.loc[frame["keep"], "sha256"])
    for row in suggested.to_dict("records"):
        photo, other, both = row["photo_id"], row["other"], row["kind"] == "label_conflict"
        for one, twin in ((photo, other), *(((other, photo),) if both else ())):
            if one in spared or one not in frame.index or frame.loc[one, "decision"]:
                continue
            if twin and not both and not _stays_without(content[one], content.get(twin), kept):
                continue
            if frame.loc[one, "keep"]:
                kept[content[one]] -= 1
            frame.loc[one, "keep"], frame.loc[one, "decision"] = False, SUGGESTED
            frame.loc[one, ["reason", "reason_kind", "reason_other"]] = [row["evidence"], row["kind"], twin]


def _stays_without(content: str, twin: str | None, kept: Counter[str]) -> bool:
    """Whether another photo of the same bytes, or of those of its twin, is kept."""
    return kept[content] > 1 or (twin is not None and twin != content and kept[twin] > 0)


def _settle_conflicts(
    frame: pd.DataFrame, pairs: pd.DataFrame, conflicts: str, same_labels: Mapping[str, str]
) -> list[str]:
    """Stop at, drop or keep the undecided label conflicts; returns notes on those that are kept."""
    label = frame["label"]
    meaning = label.replace(dict(same_labels))
    open_, seen = [], 0
    for a, b in between_copies(pairs, frame.reset_index()):
        one, two = frame.loc[a], frame.loc[b]
        if one["keep"] and two["keep"] and meaning[a] != meaning[b]:
            if one["decision"] and two["decision"]:
                seen += 1
            else:
                open_.append((a, b))
    remarks = [f"{seen} pairs of one picture keep two labels, as decided"] if seen else []
    if not open_:
        return remarks
    named = "; ".join(f"{a} ({label[a]}) and {b} ({label[b]})" for a, b in open_[:NAMED])
    what = f"{len(open_)} pairs show one picture under two labels and are not both decided ({named})"
    if conflicts == "stop":
        raise UserError(f"{what}: decide them on the review page, or give conflicts=drop or conflicts=keep")
    if conflicts == "drop":
        both = sorted({photo for pair in open_ for photo in pair})
        frame.loc[both, "keep"] = False
        frame.loc[both, "decision"] = SUGGESTED
        frame.loc[both, "reason"] = "one picture under two labels"
        frame.loc[both, "reason_kind"] = "label_conflict"
        frame.loc[[a for a, _ in open_], "reason_other"] = [b for _, b in open_]
        frame.loc[[b for _, b in open_], "reason_other"] = [a for a, _ in open_]
        return [*remarks, f"{what}: these {len(both)} photos are dropped"]
    return [*remarks, f"{what}: kept, so one of each pair is labelled wrongly"]


def _what_is_open(frame: pd.DataFrame, findings: pd.DataFrame) -> list[str]:
    remarks = []
    asked = set(findings.loc[findings["action"].isin(["drop", "review"]), "photo_id"])
    open_ = sum(photo in asked for photo in frame.index[frame["keep"] & (frame["decision"] == "")])
    if open_:
        remarks.append(f"{open_} undecided kept photos have findings to review or drop")
    if boxes := int((frame["keep"] & (frame["box"] != "")).sum()):
        remarks.append(f"{boxes} crop boxes take effect in `release`; training on the originals uses the centre square")
    return remarks
