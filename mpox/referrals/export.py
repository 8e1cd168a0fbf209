"""Clinicians' answers as labels: photos, a manifest that training reads, and decisions that curation reads."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mpox.console import cell
from mpox.curation.decisions import DECISION_COLUMNS, write_decisions
from mpox.data.manifest import complete, write_manifest
from mpox.errors import UserError
from mpox.field.answers import CHANCE, NAME
from mpox.field.counts import CANNOT_TELL
from mpox.files import replacing, replacing_folder
from mpox.referrals.inbox import opened
from mpox.referrals.keys import ClinicKey
from mpox.referrals.referral import CLOSE_UP, Referral
from mpox.referrals.refused import RefusedError
from mpox.referrals.state import OPEN, State

SOURCE = "clinic"


@dataclass(frozen=True)
class Written:
    """What an export holds, and a line for each kind of what it does not."""

    photos: int
    cases: int
    left_out: list[str]


def write_labels(state: State, key: ClinicKey | None, folder: Path) -> Written:
    """Write the close-ups of answered cases into a new folder, with manifest.csv, decisions.csv and answers.csv.

    A photo's label is the clinician's final answer, its subject the case; decisions.csv keeps each in the clinician's
    name. answers.csv has one row an answered case, "cannot tell" too: first and final answer, and the model's result;
    `mpox.evaluate field=` reads it.
    Raises UserError for a folder that is there, and where no case has an answer that is a label.
    """
    if folder.exists():
        raise UserError(f"{folder} exists, and labels are never overwritten: give to=<a new folder>")
    left: Counter[str] = Counter()
    photos: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    with replacing_folder(folder) as new:
        for row in state.cases("age"):
            if row["state"] == OPEN:
                left["cases without an answer"] += 1
                continue
            if row["label"] is None:
                left["cases that others closed at the server"] += 1
                continue
            case = state.case(row["id"])
            try:
                referral, _ = opened(case["content"], case["place"], key)
            except RefusedError as error:
                left[f"cases that cannot be opened ({error})"] += 1
                continue
            answers.append(_answer(state, referral))
            if row["label"] == CANNOT_TELL:
                left["cases answered “cannot tell”"] += 1
                continue
            photos += _photos(referral, answers[-1], new)
            left["overview photos, which no model reads"] += sum(one.kind != CLOSE_UP and one.of is None
                                                                 for one in referral.pictures)  # fmt: skip
        if not photos:
            reasons = ", ".join(f"{count} {what}" for what, count in left.items()) or "the inbox is empty"
            raise UserError(f"no answer is a label yet ({reasons}): answer cases on the page first")
        manifest = complete(pd.DataFrame(photos), SOURCE)
        write_manifest(manifest, new / "manifest.csv")
        write_decisions(_decisions(manifest), new / "decisions.csv")
        with replacing(new / NAME) as temporary:
            pd.DataFrame(answers).to_csv(temporary, index=False)
    return Written(
        len(photos), manifest["subject"].nunique(), [f"{count} {what}" for what, count in left.items() if count]
    )


def _photos(referral: Referral, answer: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    rows = []
    for k, picture in enumerate(one for one in referral.pictures if one.kind == CLOSE_UP):
        path = Path("photos") / f"{referral.id}_{k + 1}.{'png' if picture.mime == 'image/png' else 'jpg'}"
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(picture.content)
        own = {name: answer[name] for name in ("reviewer", "at", "consent")}
        rows.append({"path": path.as_posix(), "label": answer["final"], "subject": referral.id, **own})
    return rows


def _answer(state: State, referral: Referral) -> dict[str, Any]:
    given = state.answer_of(referral.id)
    assert given is not None  # a case that is not open has one
    return {
        "id": referral.id,
        "authored": referral.authored.isoformat(),
        "first": state.first_of(referral.id, given["clinician"]) or "",
        "final": given["label"],
        "reviewer": cell(given["clinician"]),
        "at": given["at"],
        "blind": bool(given["blind"]),
        "outcome": referral.outcome,
        "threshold": referral.threshold,
        **{f"{CHANCE}{label}": share for label, share in referral.probabilities.items()},
        "study": cell(referral.model.study),
        "model": cell(referral.model.name),
        "model_sha256": referral.model.sha256,
        "consent": referral.consent,
    }


def _decisions(manifest: pd.DataFrame) -> pd.DataFrame:
    rows = manifest.assign(decision="keep", label="", box="", reason="clinician's answer to a referral")
    return rows[list(DECISION_COLUMNS)]
