"""Photos of one patient are known as such, however the pattern or the column is written."""

import logging
import zlib
from pathlib import Path

import pytest
from PIL import Image

from mpox.data import sources
from mpox.data.subjects import subjects
from mpox.errors import UserError

PATHS = ["mpox/Patient_01/IMG_0.jpg", "mpox/patient_01/IMG_1.jpg", "healthy/patient_02/IMG_0.jpg"]


def test_the_pattern_is_searched_in_the_path() -> None:
    assert subjects(PATHS, r"(?P<subject>patient_\d+)") == ["Patient_01", "Patient_01", "patient_02"]
    assert subjects(PATHS, r"^(?P<subject>IMG_\d)") == ["IMG_0", "IMG_1", "IMG_0"]  # the name's beginning
    assert subjects(PATHS, r"/(\w+)/") == ["Patient_01", "Patient_01", "patient_02"]


def test_case_matters_where_the_pattern_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert subjects(PATHS, r"(?-i:(patient_\d+))") == ["", "patient_01", "patient_02"]
    assert "does not match 1 of 3 photos" in caplog.text and PATHS[0] in caplog.text


def test_composed_letters_are_one_patient() -> None:
    assert len(set(subjects(["a/Jose\u0301_1.jpg", "a/jos\u00e9_2.jpg"], r"/(\w+\u0301?)_\d|/(.+)_\d"))) == 1


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(?P<subject>pateint_\d+)", r"'\(\?P<subject>pateint.* matches none of 3 photos, such as mpox/Patient_01"),
        (r"patient_(\d*?)", "matches none of 3 photos"),  # a subject that is always empty
        ("(", "not a regular expression"),
        (r"patient_\d+", "no group that is the subject"),
    ],
)
def test_bad_patterns(pattern: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        subjects(PATHS, pattern)


def test_a_manifest_may_use_it_and_patients_share_a_group(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("a/p1_1.jpg", "a/P1_2.jpg", "b/p2_1.jpg", "b/x.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        colour = tuple(zlib.crc32(path.encode()).to_bytes(4, "big")[:3])
        Image.new("RGB", (8, 8), colour).save(tmp_path / path)
    table = tmp_path / "m.csv"
    table.write_text("path,label\na/p1_1.jpg,a\na/P1_2.jpg,a\nb/p2_1.jpg,b\nb/x.jpg,b\n")
    with caplog.at_level(logging.INFO):
        found = sources.manifest(str(table), subject_pattern=r"(p\d)_").manifest
    assert found["group"].nunique() == 3
    assert "does not match 1 of 4 photos" in caplog.text
    # Whatever the column of groups says, a patient is in one of them; spelling does not part him.
    table.write_text(
        "path,label,subject,group\na/p1_1.jpg,a,P1,g1\na/P1_2.jpg,a,p1,g2\nb/p2_1.jpg,b,,g3\nb/x.jpg,b,,g4\n"
    )
    assert sources.manifest(str(table)).manifest["group"].tolist() == ["g1", "g1", "g3", "g4"]
    # Nor does it part a group, or the photos of a patient whose source is spelt twice.
    table.write_text(
        "path,label,source,subject,group\na/p1_1.jpg,a,Clinic,P1,\na/P1_2.jpg,a,clinic,P1,\n"
        "b/p2_1.jpg,b,web,,Lesion 7\nb/x.jpg,b,web,,lesion  7\n"
    )
    assert sources.manifest(str(table)).manifest["group"].nunique() == 2
