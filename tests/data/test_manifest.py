from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mpox.data.manifest import COLUMNS, complete, read_manifest, reasons, write_manifest
from mpox.errors import UserError


def frame() -> pd.DataFrame:
    return pd.DataFrame({"path": ["b/2.jpg", "a/1.jpg"], "label": ["b", "a"], "subject": ["", "s1"]})


def test_missing_columns_are_filled() -> None:
    full = complete(frame(), "mine")
    assert tuple(full.columns) == COLUMNS
    assert full["photo_id"].tolist() == ["mine/a/1.jpg", "mine/b/2.jpg"]
    assert full["group"].tolist() == ["mine/s1", "mine/b/2.jpg"]  # the subject, or the photo itself
    assert full["keep"].all()
    pd.testing.assert_frame_equal(complete(full, "other"), full)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_round_trip_keeps_values_and_extra_columns(tmp_path: Path, suffix: str) -> None:
    full = complete(frame().assign(keep=["true", "no"], ita=[10.5, 20.25]), "mine")
    path = tmp_path / f"manifest{suffix}"
    write_manifest(full, path)
    again = read_manifest(path)
    assert again["keep"].tolist() == full["keep"].tolist() == [False, True]
    assert again["ita"].astype(float).tolist() == [20.25, 10.5]
    assert again["photo_id"].tolist() == full["photo_id"].tolist()


def test_numeric_looking_ids_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text("path,label,subject\n1.jpg,0,007\n2.jpg,1,7\n")
    assert read_manifest(path)["subject"].tolist() == ["007", "7"]


def test_columns_of_any_type(tmp_path: Path) -> None:
    """What pandas and spreadsheets leave: categories with gaps, numbers that are none, hashes in capitals."""
    table = pd.DataFrame({"path": ["1.jpg", "2.jpg", "3.jpg"], "label": pd.Categorical(["x", "y", "x"])})
    table = table.assign(group=pd.Categorical(["g", "g", None]), reason=pd.Categorical([None, None, "blurred"]))
    table = table.assign(width=[np.inf, np.nan, 5.0], height=["1e999", "", "5"], sha256=["AB" * 32, "", ""])
    table.to_parquet(tmp_path / "m.parquet")
    found = read_manifest(tmp_path / "m.parquet", "s", root=tmp_path)
    assert found["group"].tolist() == ["g", "g", "s/3.jpg"]
    assert found["reason"].tolist() == ["", "", "blurred"]
    assert found[["width", "height"]].to_numpy().tolist() == [[0, 0], [0, 0], [5, 5]]
    assert found["sha256"][0] == "ab" * 32


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,subject\na.jpg,s\n", "no column 'label'"),
        ("path,label\na.jpg,\n", "no label in row 1"),
        ("path,label\na.jpg,x\na.jpg,x\n", "twice"),
        ("path,label,keep\na.jpg,x,perhaps\n", "write true or false"),
    ],
)
def test_broken_manifest(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as raised:
        read_manifest(path)
    assert str(path) in str(raised.value)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no manifest at"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "m.xlsx").touch()
    with pytest.raises(UserError, match=r"not \.xlsx"):
        read_manifest(tmp_path / "m.xlsx")
    (tmp_path / "m.parquet").write_text("no parquet")
    with pytest.raises(UserError, match="cannot be read as a manifest"):
        read_manifest(tmp_path / "m.parquet")


def test_reasons_are_counted_by_kind_in_older_manifests_too() -> None:
    """Before kinds were a column, what was counted stood at the beginning of the reason."""
    words = [
        "near_duplicate: 0.98 of the pixels",
        "label conflict with web/a.jpg",
        "undecodable: no image",
        "too dark",
        "",
    ]
    old = pd.DataFrame({"path": [f"{k}.jpg" for k in range(5)], "label": "a", "keep": "false", "reason": words})
    expected = ["near duplicate", "label conflict", "undecodable", "too dark", "no reason given"]
    assert reasons(complete(old, "mine")).tolist() == expected
    assert complete(old.assign(reason_kind=""), "mine")["reason_kind"].eq("").all()
