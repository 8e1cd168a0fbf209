"""Answers as labels: what curation and training read of an export."""

import csv
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from made_referral import id_of, referral, write
from test_answers import answered
from test_hostile import settled
from test_keys import clinic

from mpox.cli import start
from mpox.curate import COMMAND as CURATE
from mpox.curation.decisions import check_against, read_decisions
from mpox.data.sources import manifest
from mpox.field.answers import answers_of, read_table
from mpox.field.evidence import evidence
from mpox.field.given import read_given
from mpox.referrals.desk import Desk
from mpox.referrals.state import Page, State

REFERRAL = Path(__file__).parents[2] / "docs" / "reference" / "referral.md"
GIVEN = ("mpox", "acne", "other", "cannot tell")


def cases(folder: Path, labels: Sequence[str], waiting: int = 0) -> Path:
    """An inbox of answered cases, the first with two close-ups, and so many that wait."""
    # Ten apart: the close-ups of a case are drawn from seeds that follow one another.
    bundles = [referral(10 * k, side=200, close_ups=2 if k == 0 else 1) for k in range(len(labels) + waiting)]
    for bundle in bundles:
        write(folder, bundle)
    settled(folder)
    desk = Desk(State(folder.with_name(f"{folder.name}.clinic.sqlite")), folder, None, folder / "answers")
    desk.look()
    for bundle, label in zip(bundles, labels, strict=False):
        answered(desk, id_of(bundle), label)
    return folder


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return cases(tmp_path / "in", GIVEN, waiting=1)


def test_answers_are_labels_that_training_and_curation_read(
    inbox: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels"
    assert clinic("export", f"inbox={inbox}", f"to={out}") == 0
    printed = capsys.readouterr().out
    assert "4 photos of 3 answered cases" in printed
    for line in ("1 cases without an answer", "1 cases answered “cannot tell”", "3 overview photos"):
        assert f"left out: {line}" in printed
    photos = manifest(str(out / "manifest.csv"))
    assert sorted(photos.manifest["label"]) == ["acne", "mpox", "mpox", "other"]
    assert photos.manifest["keep"].all() and photos.manifest["group"].nunique() == 3
    decisions = read_decisions(out / "decisions.csv")
    check_against(decisions, photos.manifest)
    assert set(decisions["decision"]) == {"keep"} and set(decisions["reviewer"]) == {"Dr. N."}
    answers = pd.read_csv(out / "answers.csv")
    assert sorted(answers["final"]) == sorted(GIVEN) and set(answers["first"]) == {"cannot tell"}
    assert set(answers["outcome"]) == {"suspected"} and answers["blind"].all()
    assert answers["p_mpox"].tolist() == [0.55] * 4
    documented = re.search(r"\n## What the clinic's answers hold\n(.*?)\n## ", REFERRAL.read_text(), re.DOTALL)
    assert documented is not None
    cells = [line.split("|")[1] for line in documented[1].splitlines() if line.startswith("| `")]
    named = re.findall(r"`(.+?)`", " ".join(cells))
    assert sorted({re.sub("^p_.*", "p_<class>", name) for name in answers}) == sorted(named)
    assert set(answers["study"]) == {"demo"} and set(answers["model_sha256"]) == {"ab" * 32}
    read = evidence(read_given([out], "demo"), "demo", ("acne", "chickenpox", "healthy", "mpox"), "mpox")
    assert sorted(case.clinician for _, case in read.cases()) == sorted(GIVEN)
    assert {(case.outcome, case.chance) for _, case in read.cases()} == {("suspected", 0.55)}
    assert {one.threshold for one in read.answers} == {0.31}
    before = (out / "manifest.csv").read_bytes()
    assert clinic("export", f"inbox={inbox}", f"to={out}") == 1
    assert "labels are never overwritten" in capsys.readouterr().err
    assert (out / "manifest.csv").read_bytes() == before


@pytest.mark.slow
def test_an_export_goes_through_curation(inbox: Path, tmp_path: Path) -> None:
    out, audit = tmp_path / "labels", tmp_path / "audit"
    assert clinic("export", f"inbox={inbox}", f"to={out}") == 0
    for words in (
        ["data=manifest", f"data.manifest={out / 'manifest.csv'}", f"output={audit}"],
        ["apply", f"decisions={out / 'decisions.csv'}", f"output={audit}"],
    ):
        with pytest.raises(SystemExit) as ended:
            start(CURATE, words)
        assert ended.value.code in (0, None)
    curated = pd.read_parquet(audit / "curated.parquet")
    assert sorted(curated.loc[curated["keep"], "label"]) == ["acne", "mpox", "mpox", "other"]


@pytest.mark.slow
def test_an_export_is_trained_from_or_says_what_is_too_little(tmp_path: Path) -> None:
    """Six cases: three folds of two labels train; the ten folds of the default do not, in one line."""
    inbox, out = cases(tmp_path / "in", ("mpox", "acne") * 3), tmp_path / "labels"
    assert clinic("export", f"inbox={inbox}", f"to={out}") == 0
    typed = [
        *(sys.executable, "-m", "mpox.train", "study=seen", "data=manifest", f"data.manifest={out / 'manifest.csv'}"),
        *("model=mobilenetv3_small_100", "weights=none", "schedule=probe", "image_size=32", "batch_size=8"),
        *("logger=none", "trainer=cpu", f"runs_dir={tmp_path / 'runs'}"),
    ]
    few = subprocess.run(typed, capture_output=True, text=True)
    assert few.returncode == 1 and "10 folds need at least 10 independent groups" in few.stderr, few.stderr
    assert "acne has 3, mpox has 3: lower n_folds" in few.stderr and "Traceback" not in few.stderr
    assert len([line for line in few.stderr.splitlines() if line.startswith("error")]) == 1
    trained = subprocess.run([*typed, "n_folds=3"], capture_output=True, text=True)
    assert trained.returncode == 0, trained.stderr
    predicted = pd.read_parquet(tmp_path / "runs" / "seen" / "mobilenetv3_small_100" / "fold-0" / "predictions.parquet")
    assert set(predicted["label"]) == {"mpox", "acne"} and predicted["photo_id"].str.startswith("clinic/photos/").all()


def test_nothing_to_export_and_the_audit_trail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    write(folder, referral(1, side=64))
    settled(folder)
    assert clinic("export", f"inbox={folder}", f"to={tmp_path / 'labels'}") == 1
    assert "no state at" in capsys.readouterr().err
    Desk(State(tmp_path / "in.clinic.sqlite"), folder, None, folder / "answers").look()
    assert clinic("export", f"inbox={folder}", f"to={tmp_path / 'labels'}") == 1
    assert "no answer is a label yet (1 cases without an answer)" in capsys.readouterr().err
    assert not (tmp_path / "labels").exists()
    for code in (0, 1):
        assert clinic("audit", f"inbox={folder}", f"to={tmp_path / 'audit.csv'}") == code
    assert pd.read_csv(tmp_path / "audit.csv")["what"].tolist() == ["received"]


def test_text_of_others_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    """Spreadsheets run what begins with =, + or @: here names of files, studies and people."""
    folder = tmp_path / "in"
    hostile = referral(1, side=64)
    texts = [note for one in hostile["entry"] for note in one["resource"].get("note", [])]
    for note in texts:
        note["text"] = note["text"].replace("study demo,", "study =1+1,")
    write(folder, hostile)
    (folder / "=1+1.mpox").write_text("no referral")
    settled(folder)
    desk = Desk(State(tmp_path / "in.clinic.sqlite"), folder, None, folder / "answers")
    desk.look()
    page = Page("a" * 16, "@me")
    desk.open(id_of(hostile), page)
    desk.first(id_of(hostile), page, "mpox")
    desk.answer(id_of(hostile), page, "mpox", "")
    assert clinic("export", f"inbox={folder}", f"to={tmp_path / 'labels'}") == 0
    assert clinic("audit", f"inbox={folder}", f"to={tmp_path / 'audit.csv'}") == 0
    tables = [tmp_path / "labels" / "answers.csv", tmp_path / "labels" / "manifest.csv", tmp_path / "audit.csv"]
    fields = [field for path in (*tables, folder / "refused" / "refused.csv") for row in rows(path) for field in row]
    assert [field for field in fields if field.startswith(("=", "+", "-", "@"))] == []
    assert {"'=1+1.mpox", "'=1+1", "'@me"} <= set(fields)
    assert [one.study for one in answers_of(tables[0], read_table(tables[0]))] == ["=1+1"]


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))
