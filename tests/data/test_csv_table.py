"""The CSV files that people make: read as meant, or refused in a line that says what to save."""

from pathlib import Path

import pytest

from mpox.curation.decisions import read_decisions
from mpox.data.csv_table import read_csv
from mpox.data.manifest import read_manifest
from mpox.errors import UserError
from mpox.xai.rating_files import read_ratings

ROWS = [["path", "label", "subject"], ["mpox/a.jpg", "mpox", "Ann, née Ö"], ["acne/b.jpg", "acne", ""]]


def written(path: Path, separator: str = ",", encoding: str = "utf-8", ends: str = "\n", extra: str = "") -> Path:
    lines = [separator.join(f'"{field}"' if "," in field else field for field in row) for row in ROWS]
    path.write_bytes((extra + ends.join(lines) + ends).encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_spreadsheet_s_way_is_read(tmp_path: Path, separator: str, encoding: str) -> None:
    frame = read_manifest(written(tmp_path / "m.CSV", separator, encoding, ends="\r\n"), "set")
    assert frame[["path", "label", "subject"]].to_numpy().tolist() == sorted(ROWS[1:])


def test_blank_rows_empty_columns_odd_cases_and_excel_s_note(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("sep=;\n\nPath ;LABEL;;\n a.jpg;mpox;;\n;;;\n\nb.jpg;acne;;\n;;\n")
    frame = read_manifest(tmp_path / "m.csv", "set", root=tmp_path)
    assert frame[["path", "label"]].to_numpy().tolist() == [["a.jpg", "mpox"], ["b.jpg", "acne"]]
    assert "" not in frame.columns


def test_other_tables_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes("photo_id;decision;reason\n\ns/a.jpg;drop;né\n".encode("utf-16"))
    assert read_decisions(tmp_path / "d.csv")["reason"].tolist() == ["né"]
    (tmp_path / "r.csv").write_text("page\trater\tphoto_id\tquestion\tanswer\tat\np\tann\tx\tq\tyes\t1\n")
    assert read_ratings([tmp_path / "r.csv"])["answer"].tolist() == ["yes"]
    (tmp_path / "d.csv").write_text("photo_id,decision\n\n\ns/a.jpg,perhaps\n")
    with pytest.raises(UserError, match=r"d\.csv, line 4: 'perhaps' is not a decision"):
        read_decisions(tmp_path / "d.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\na.jpg,mpöx\n".encode("cp1252"), r"m\.csv, line 2 is not UTF-8.*CSV UTF-8"),
        (b"path,label\na.jpg,mpox\nb,c.jpg,mpox\n", r"m\.csv, line 3: 3 fields under 2 names"),
        (b'path,label\n"a.jpg,mpox\n', r"m\.csv, line \d: cannot be read as CSV"),
        (b"path,label,label\na.jpg,mpox,acne\n", "names the column 'label' twice"),
        (b"", r"m\.csv is empty"),
        (b"photo;class\na.jpg;mpox\n", r"m\.csv.*no column 'path'"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        read_manifest(tmp_path / "m.csv")
    assert "codec" not in str(raised.value) and "\n" not in str(raised.value)


def test_text_stays_text(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("a,b\n007,NA\nnull,1e5\n")
    assert read_csv(tmp_path / "m.csv", ("a", "b")).to_numpy().tolist() == [["007", "NA"], ["null", "1e5"]]
