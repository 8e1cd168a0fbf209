"""What a clinic answered after deployment (`answers.csv`) against what the study promised, alone and beside phones."""

import csv
import json
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpox.cli import start
from mpox.compare import COMMAND as COMPARE
from mpox.errors import UserError
from mpox.evaluate import COMMAND as EVALUATE
from mpox.field.evidence import evidence
from mpox.field.given import read_given
from mpox.field.report import FieldReport, field_report
from mpox.files import read_json
from mpox.report.field_table import promise_table
from mpox.stats.decision import DecisionRule

RULE = DecisionRule(1.0, 0.3, (0.6, 0.7, 0.5, 0.5), promised_sensitivity=0.95, target_sensitivity=0.95, coverage=0.95)
CLASSES = ("acne", "chickenpox", "healthy", "mpox")
MODEL, OTHER_MODEL = "ab" * 32, "cd" * 32
Row = dict[str, Any]


def case(outcome: str = "suspected", mpox: float = 0.85, final: str = "mpox", **changed: Any) -> Row:
    """A row as `mpox.clinic export` writes it."""
    others = {f"p_{name}": round((1 - mpox) / 3, 6) for name in CLASSES[:3]}
    return {
        "id": str(uuid.uuid4()), "authored": "2026-11-20T10:00:00+00:00", "first": "cannot tell", "final": final,
        "reviewer": "Dr. N.", "at": "2026-11-20T11:00:00+00:00", "blind": True, "outcome": outcome, "threshold": 0.3,
        **others, "p_mpox": mpox, "study": "default", "model": "lite0", "model_sha256": MODEL,
        "consent": "I agree,\nto \"all\" of it.",
    } | changed  # fmt: skip


def table(path: Path, rows: Sequence[Row], columns: Sequence[str] | None = None, **style: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        names = columns or list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, names, extrasaction="ignore", **style)
        writer.writeheader()
        writer.writerows(rows)
    return path


def phone(path: Path, cases: Sequence[tuple[str, float, str]], sha256: str = MODEL, **answered: int) -> Path:
    """A phone's file of one day."""
    path.parent.mkdir(parents=True, exist_ok=True)
    day = {"date": "2026-11-20", "site": "c0ffee", "taken": 40, "refused": {"blurred": 10}, "answered": answered,
           "referred": {"suspected": len(cases)}}  # fmt: skip
    known = [{"outcome": outcome, "mpox": mpox, "clinician": label} for outcome, mpox, label in cases]
    model = {
        "sha256": sha256, "name": "lite0", "study": "default", "recipe": "int8_static", "labels": list(CLASSES),
        "positive": "mpox", "threshold": 0.3, "days": [day], "cases": known,
    }  # fmt: skip
    path.write_text(json.dumps({"format": "mpox-field", "version": 1, "made": "2026-11-28", "models": [model]}))
    return path


def reported(*paths: Path) -> FieldReport:
    given = read_given(paths, "default")
    return field_report(evidence(given, "default", CLASSES, "mpox"), RULE, np.repeat([0, 3], [10, 90]))


def test_answers_alone_give_sensitivity_and_neither_drift_nor_a_threshold(tmp_path: Path) -> None:
    """Hand-counted: 18 of 20 cases of mpox called so, 3 of 4 others not; one that nobody could tell."""
    found = [case(mpox=0.50 + k / 100) for k in range(18)]
    missed = [case("not_suspected", 0.1), case("unclear", 0.2)]
    others = [case("unclear", 0.2, "other"), case("not_suspected", 0.1, "acne"), case("unclear", 0.2, "healthy")]
    rest = [case("not_ruled_out", 0.4, "chickenpox"), case(final="cannot tell")]
    report = reported(table(tmp_path / "answers.csv", [*found, *missed, *others, *rest]))
    assert (report.phones, report.answers, report.checked, report.cannot_tell) == (0, 25, 25, 1)
    assert (report.sensitivity.value, report.sensitivity.n) == (0.9, 20)
    assert (report.specificity.value, report.specificity.n) == (0.75, 4)
    assert (report.proposed_threshold, report.proposed_sensitivity) == (None, None)
    assert report.missed == sorted(one["id"] for one in missed)
    assert (report.cases, report.faults, report.months, report.corrected_sensitivity) == (None, None, [], None)
    for one in (report.refused, report.advised, report.referred, *report.outcomes.values()):
        assert (one.value, one.low, one.high, one.n) == (None, None, None, 0)
    said = " ".join(report.cautions)
    assert "No phone's counts are given" in said and "no threshold is proposed" in said
    assert report.missed[0] in said and "one phone" not in said
    shown = promise_table(report)
    rows = " ".join(map(str, shown.columns[0].cells))
    assert "25 cases that a clinic answered" in str(shown.title) and "phones" not in str(shown.title)
    assert "refused" not in rows and "suspected" not in rows and "sensitivity (20 cases" in rows


def test_a_case_of_a_phone_and_of_the_clinic_counts_once(tmp_path: Path) -> None:
    """Of the answered model the clinic's cases alone; the days, and cases of another model, are the phones'."""
    seen = [("suspected", 0.85, "mpox"), ("not_suspected", 0.1, "acne")]
    phone(tmp_path / "in" / "a.json", seen, suspected=30, not_suspected=20)
    phone(tmp_path / "in" / "b.json", [("unclear", 0.2, "mpox")], OTHER_MODEL, suspected=5, unclear=5)
    labels = table(tmp_path / "labels" / "x.csv", [case(), case(), case("not_suspected", 0.1, "acne")]).parent
    alone, both = reported(tmp_path / "in"), reported(tmp_path / "in", labels)
    assert (alone.checked, alone.sensitivity.n, alone.specificity.n) == (3, 2, 1)
    assert (both.checked, both.sensitivity.n, both.specificity.n) == (4, 3, 1)
    assert (both.cases, both.refused, both.outcomes) == (alone.cases, alone.refused, alone.outcomes)
    assert both.corrected_sensitivity is not None
    said = [one for one in both.cautions if "the 2 that phones counted" in one]
    assert len(said) == 1 and not [one for one in alone.cautions if "clinic's alone" in one]
    assert any("2 exported files" in one for one in both.cautions)
    few = phone(tmp_path / "few" / "a.json", [], suspected=2)
    said = reported(few, labels).cautions
    assert any("answered 3 cases, but the phones count 2" in one for one in said)
    # The second figure of sensitivity needs more of the phones; but a case that was not called mpox was checked.
    assert not any("No case that the app did not call mpox was checked" in one for one in said)
    called = reported(table(tmp_path / "called" / "answers.csv", [case()])).cautions
    assert any("No case that the app did not call mpox was checked" in one for one in called)


def test_files_are_told_apart_by_what_they_hold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Names that mislead, Excel's separators, and tables beside the answers that are none."""
    folder = tmp_path / "in"
    table(folder / "autumn.csv", [case(), case(final="acne", outcome="unclear")], delimiter=";")
    phone(folder / "counts.csv", [], suspected=4)
    for name, first in (("manifest.csv", "photo_id,path,label"), ("decisions.csv", "photo_id,decision,label")):
        (folder / name).write_text(f"{first}\na,b,mpox\n")
    given = read_given([folder], "default")
    assert (len(given.phones), len(given.answers)) == (1, 2)
    moved = (folder / "autumn.csv").rename(folder / "autumn.json")
    again = read_given([moved, folder / "counts.csv", folder], "default")  # a file that is named twice is there once
    assert (len(again.phones), len(again.answers)) == (1, 2)
    with pytest.raises(UserError, match="holds neither counts of a phone"):
        (tmp_path / "none").mkdir()
        shutil.copy(folder / "manifest.csv", tmp_path / "none")
        read_given([tmp_path / "none"], "default")


def test_two_exports_of_a_clinic_hold_a_case_once_and_must_agree(tmp_path: Path) -> None:
    rows = [case(), case(final="acne")]
    early, late = table(tmp_path / "1" / "answers.csv", rows[:1]), table(tmp_path / "2" / "answers.csv", rows)
    assert len(read_given([early, late], "default").answers) == 2
    table(early, [rows[0] | {"final": "healthy"}])
    with pytest.raises(UserError, match=f"case {rows[0]['id']} is not the same in .*healthy.* and in .*mpox"):
        read_given([early, late], "default")


def test_what_strangers_can_send_is_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rows that an export can hold, since anybody can send a case: of another study, another model, or of none."""
    strange = [case(study=""), case(study="other"), case(model_sha256=""), case(p_mpox="", final="acne")]
    report = reported(table(tmp_path / "answers.csv", [case(), *strange]))
    assert report.checked == 1
    assert "2 answered cases of models of other studies are left out" in caplog.text
    assert "2 answered cases are left out: their model has other classes than study default" in caplog.text
    with pytest.raises(UserError, match="none of the 1 files is of a model of study default"):
        read_given([table(tmp_path / "answers.csv", strange[:2])], "default")
    with pytest.raises(UserError, match="no answered case names a model by its SHA-256"):
        reported(table(tmp_path / "answers.csv", strange[2:]))


TWICE = case(id="7f1c")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (lambda file: table(file, [case(), case("maybe")]), "line 5: 'maybe' is no outcome of the app"),
        (lambda file: table(file, [case(mpox=1.5)]), "line 3: p_acne is '-0.166667', which is no number from 0 to 1"),
        (lambda file: table(file, [case(p_mpox="1.01")]), "p_mpox is '1.01'"),
        (lambda file: table(file, [case(p_acne="nan")]), "p_acne is 'nan'"),
        (lambda file: table(file, [case(p_acne="0,1")]), "p_acne is '0,1'"),
        (lambda file: table(file, [case(threshold=-1)]), "threshold is '-1'"),
        (lambda file: table(file, [case(final="measles")]), "the final answer 'measles' is none of acne,"),
        (lambda file: table(file, [case(final="")]), "the final answer '' is none of"),
        (lambda file: table(file, [case(id=" ")]), "there is no id"),
        (lambda file: table(file, [TWICE, case(), TWICE]), "line 7: case 7f1c is there a second time"),
        (lambda file: table(file, [case()], ["id", "final", "outcome", "threshold", "study"]), "'model_sha256'"),
        (lambda file: table(file, [case()], [name for name in case() if "p_" not in name]), "no probabilities"),
        (lambda file: table(file, [], list(case())), "holds no answered case"),
        (lambda file: file.write_text(""), "is empty"),
        (lambda file: file.write_text("photo_id,path,label\na,b,mpox\n"), "is neither a clinic's answers.csv"),
        (lambda file: file.write_bytes(b"id,final\n\xff\xfe,\xff\n"), "not UTF-8"),
        (lambda file: file.write_text('id,final\n"a,b\n'), "cannot be read as CSV"),
        (lambda file: None, "cannot be read"),
    ],
)
def test_a_malformed_table_ends_the_command_with_one_line(
    written: Callable[[Path], Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "answers.csv"
    written(file)
    with pytest.raises(SystemExit) as ended:
        start(EVALUATE, ["study=default", f"runs_dir={tmp_path}", f"field={file}"])
    found = capsys.readouterr().err
    assert ended.value.code == 1 and words in found and str(file) in found
    assert found.startswith("error: ") and len(found.strip().splitlines()) == 1
    if file.is_file():  # by its name it is a clinic's answers in a folder too, not passed over
        with pytest.raises(UserError, match=r"answers\.csv"):
            read_given([tmp_path], "default")


@pytest.mark.slow
def test_the_command_reads_what_clinics_and_phones_saw(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(trained, runs)

    def typed(command: Any, *words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            start(command, ["study=default", f"runs_dir={runs}", *words])
        found = capsys.readouterr()
        assert ended.value.code in (0, None), found.err
        return found.out

    typed(COMPARE, "select=best", "resamples=1000", "logger.mode=disabled")
    rows = [case(mpox=0.5 + k / 100) for k in range(20)] + [case("not_suspected", 0.1, "acne")]
    labels = table(tmp_path / "labels" / "answers.csv", rows).parent
    alone = typed(EVALUATE, f"field={labels}", "name=clinic")
    assert "21 cases that a clinic answered" in alone and "No phone's counts are given" in alone
    content = read_json(runs / "default" / "field" / "clinic" / "field.json")
    assert (content["answers"], content["cases"], content["sensitivity"]["value"]) == (21, None, 1.0)
    assert content["proposed_threshold"] is None
    phones = phone(tmp_path / "phones" / "a.json", [("suspected", 0.5, "mpox")], suspected=25, not_suspected=5).parent
    both = typed(EVALUATE, f"field=[{phones},{labels}]")
    assert "30 cases on 1 phones, 21 cases that a clinic answered" in both and "the 1 that phones counted" in both
    assert read_json(runs / "default" / "field" / "all" / "field.json")["checked"] == 21
