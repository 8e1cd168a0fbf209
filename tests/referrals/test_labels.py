"""Answers as labels: what curation and training read of an export."""

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
from mpox.referrals.desk import Desk
from mpox.referrals.state import State

GIVEN = ("mpox", "acne", "other", "cannot tell")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """Four answered cases, the first with two close-ups, and one that waits."""
    folder = tmp_path / "in"
    bundles = [referral(seed, side=200, close_ups=2 if seed == 0 else 1) for seed in range(5)]
    for bundle in bundles:
        write(folder, bundle)
    settled(folder)
    desk = Desk(State(tmp_path / "in.clinic.sqlite"), folder, None, folder / "answers")
    desk.look()
    for bundle, label in zip(bundles, GIVEN, strict=False):
        answered(desk, id_of(bundle), label)
    return folder


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
