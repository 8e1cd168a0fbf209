"""Photos that belong together count once, and none is scored of a person or a picture that the study has."""

from pathlib import Path

import pandas as pd
import pytest

from mpox.data.audited import AUDITED
from mpox.data.manifest import complete
from mpox.data.sources import PhotoSet
from mpox.errors import UserError
from mpox.external.kin import relatives
from mpox.external.scoring import ExternalSet, external_set
from mpox.external.seen_before import duplicates


def listed(source: str, *rows: tuple[str, str]) -> pd.DataFrame:
    """A manifest of photos that are not opened: (file name, subject); the file's bytes are those of its name."""
    frame = pd.DataFrame(rows, columns=["path", "subject"])
    return complete(frame.assign(label="mpox", sha256=frame["path"]), source)


def scored(photos: pd.DataFrame, study: pd.DataFrame, **options: pd.DataFrame | None) -> ExternalSet:
    options.setdefault("kin", relatives(photos, study))
    nowhere = Path("nowhere")
    sets = PhotoSet(photos, nowhere), PhotoSet(study, nowhere)
    return external_set("set", *sets, ["mpox", "other"], 0, mapping={}, names=[], check="exact", **options)  # type: ignore[arg-type]


def reasons(found: ExternalSet) -> dict[str, str]:
    return dict(zip(found.excluded["path"], found.excluded["reason"], strict=True))


def test_with_a_photo_that_the_study_has_goes_the_rest_of_its_group() -> None:
    study = listed("study", ("a", ""))
    photos = listed("new", ("a", "P1"), ("b", "P1"), ("c", "P1"), ("d", "P2"))
    found = scored(photos, study)
    assert reasons(found) == {"a": "exact", "b": "same group", "c": "same group"}
    assert set(found.excluded["other"]) == {"study/a"}
    assert (found.flow["exact"], found.flow["same group"], found.flow["scored"]) == (1, 2, 1)


def test_a_photo_of_a_class_left_out_may_show_that_the_person_is_known() -> None:
    photos = listed("new", ("a", "P1"), ("b", "P1"), ("d", "P2"))
    photos.loc[photos["path"] == "a", "label"] = "scar"
    sets = PhotoSet(photos, Path()), PhotoSet(listed("study", ("a", "")), Path())
    found = external_set("set", *sets, ["mpox", "other"], 0, mapping={"scar": None}, names=[], check="exact")
    assert reasons(found) == {"a": "not mapped", "b": "same group"}


def test_a_person_of_the_study_is_known_by_the_name_of_a_source(caplog: pytest.LogCaptureFixture) -> None:
    study = listed("Clinic A", ("a", "P1"), ("b", ""))
    photos = listed("clinic a", ("x", "p1 "), ("y", ""), ("z", "P2"))
    found = scored(photos, study)
    assert reasons(found) == {"x": "same subject"}
    assert "give data.source=<a name of its own>" in caplog.text
    assert not reasons(scored(listed("clinic b", ("x", "P1"), ("y", "")), study))
    with pytest.raises(UserError, match=r"1 same subject\): give other photos, or, where they are other people"):
        scored(photos[photos["subject"] == "p1"].reset_index(drop=True), study)


def test_groups_of_one_audit_or_of_one_list_hold_across_sources() -> None:
    study, photos = listed("a", ("1", ""), ("2", "")), listed("b", ("3", ""), ("4", ""))
    marks = "0123456789abcdef 1 mpox", "0123456789abcdef 2 mpox", "0123456789abcdee 2 mpox"
    audited = relatives(photos.assign(**{AUDITED: marks[1:]}), study.assign(**{AUDITED: marks[:2]}))
    assert audited.to_numpy().tolist() == [["b/3", "a/2", "same group"]]
    whole = pd.Series({"a/1": "g", "a/2": "h", "b/3": "i", "b/4": "g"})
    assert relatives(photos, study, whole).to_numpy().tolist() == [["b/4", "a/1", "same group"]]
    assert relatives(photos.assign(**{AUDITED: "1"}), study.assign(**{AUDITED: "1"})).empty


def test_given_pairs_among_the_photos_are_followed_and_grouped() -> None:
    study, photos = listed("a", ("1", "")), listed("b", ("2", ""), ("3", ""), ("4", ""), ("5", ""))
    pairs = pd.DataFrame([("a/1", "b/2"), ("b/2", "b/3"), ("b/4", "b/5")], columns=["photo_id", "other"])
    found = scored(photos, study, pairs=pairs)
    assert reasons(found) == {"2": "same source", "3": "same group"}
    assert found.photos.manifest["group"].nunique() == 1


def test_a_copy_that_curation_dropped_is_of_a_picture_that_the_study_has() -> None:
    study = listed("a", ("1", "P"), ("2", "P"), ("3", ""))
    study.loc[study["path"].isin(["2", "3"]), "keep"] = False
    photos = listed("b", ("2", ""), ("3", ""), ("4", ""))
    found = duplicates(PhotoSet(photos, Path()), PhotoSet(study, Path()), perceptual=False)
    assert found[["photo_id", "other"]].to_numpy().tolist() == [["b/2", "a/2"]]
