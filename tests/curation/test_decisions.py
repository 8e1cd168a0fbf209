from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from audited import BROKEN, ODD

from mpox.curation.decisions import DECISION_COLUMNS, check_against, merge, parse_box, read_decisions, write_decisions
from mpox.curation.findings import Audit
from mpox.errors import UserError

HEADER = ",".join(DECISION_COLUMNS)


def decisions(*rows: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame([row + ("",) * (7 - len(row)) for row in rows], columns=list(DECISION_COLUMNS), dtype=str)


def test_round_trip(tmp_path: Path) -> None:
    frame = decisions(
        ("b", "relabel", "mpox", "1 2 30", 'said "yes", twice', "Ann", "2026-01-02T03:04:05Z"), ("a", "keep")
    )
    write_decisions(frame, tmp_path / "d.csv")
    again = read_decisions(tmp_path / "d.csv")
    pd.testing.assert_frame_equal(again, frame.sort_values("photo_id", ignore_index=True))
    assert parse_box(again["box"][1]) == (1, 2, 30)
    assert parse_box(again["box"][0]) is None


def test_a_spreadsheets_file_is_read(tmp_path: Path) -> None:
    """A byte-order mark, capitals, blanks and missing optional columns are what spreadsheets leave."""
    (tmp_path / "d.csv").write_text("\ufeffphoto_id,decision\r\n a ,Keep\r\nb,DROP\r\n", encoding="utf-8")
    assert read_decisions(tmp_path / "d.csv")["decision"].tolist() == ["keep", "drop"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("photo_id,label\na,x\n", "has no column 'decision'"),
        (f"{HEADER}\na,maybe,,,,,\n", "line 2: 'maybe' is not a decision"),
        (f"{HEADER}\na,keep,,,,,\nb,relabel,,,,,\n", "line 3: b is relabelled, but to no label"),
        (f"{HEADER}\na,keep,mpox,,,,\n", "is not relabelled"),
        (f"{HEADER}\na,keep,,1 2 0,,,\n", "the box '1 2 0'"),
        (f"{HEADER}\n,keep,,,,,\n", "there is no photo_id"),
        (f"{HEADER}\na,keep,,,,,\na,drop,,,,,\n", "decides a twice"),
        ("", "is empty"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(UserError, match=words) as raised:
        read_decisions(tmp_path / "d.csv")
    assert str(tmp_path / "d.csv") in str(raised.value)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("set/no.jpg", "keep"), "1 photos the audit does not have"),
        ((ODD, "relabel", "mpux"), "relabelled 'mpux', which no photo has"),
        ((BROKEN, "keep"), "cannot be read"),
        ((ODD, "keep", "", "50 0 51"), "reaches out of its 100x160 pixels"),
    ],
)
def test_decisions_that_do_not_fit_the_audit(small_audit: Audit, row: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_against(decisions(row), small_audit.manifest)


def test_decisions_that_fit(small_audit: Audit) -> None:
    rows = ((ODD, "relabel", "eczema", "50 100 50"), (BROKEN, "drop"))
    check_against(decisions(*rows), small_audit.manifest, new_labels=["eczema"])


def kappa_by_hand(table: np.ndarray) -> float:
    """Cohen 1960: (observed - expected) / (1 - expected) of a square table of counts."""
    share = table / table.sum()
    expected = (share.sum(0) * share.sum(1)).sum()
    return float((np.trace(share) - expected) / (1 - expected))


def test_merge_lists_every_disagreement_and_reports_kappa() -> None:
    first = decisions(
        *[(f"k{k}", "keep") for k in range(5)],
        *(
            ("d0", "drop", "", "", "blurred", "Ann", "1"),
            ("x0", "keep"),
            ("r0", "relabel", "acne"),
            ("b0", "keep", "", "0 0 9"),
        ),
        ("only-ann", "drop"),
    )
    second = decisions(
        *[(f"k{k}", "keep") for k in range(5)],
        *(
            ("d0", "drop", "", "", "unsharp", "Bob", "2"),
            ("x0", "drop"),
            ("r0", "relabel", "mpox"),
            ("b0", "keep", "", "0 0 8"),
        ),
        ("only-bob", "keep"),
    )
    merged = merge(first, second)
    assert merged.both == 9
    assert merged.conflicts[["photo_id", "about", "first", "second"]].to_numpy().tolist() == [
        ["b0", "box", "0 0 9", "0 0 8"],
        ["r0", "decision", "relabel acne", "relabel mpox"],
        ["x0", "decision", "keep", "drop"],
    ]
    assert merged.decisions["photo_id"].tolist() == ["d0", "k0", "k1", "k2", "k3", "k4", "only-ann", "only-bob"]
    assert merged.decisions.iloc[0][["reason", "reviewer", "at"]].tolist() == ["blurred; unsharp", "Ann; Bob", "2"]
    # Rows: first's keep, drop, relabel acne, relabel mpox; columns: second's.
    table = np.array([[6, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    assert merged.kappa == pytest.approx(kappa_by_hand(table))


def test_kappa_is_undefined_without_variety() -> None:
    assert merge(decisions(("a", "keep")), decisions(("a", "keep"))).kappa is None
    assert merge(decisions(("a", "keep")), decisions(("b", "keep"))).kappa is None
