"""Whether an audited manifest is still one audit's: two put together, photos added, groups and labels edited."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mpox.curation.audit import audit
from mpox.curation.guard import guard
from mpox.data import sources
from mpox.data.audited import AUDITED, audit_state, photos_key, with_labels
from mpox.data.manifest import complete, read_manifest, write_manifest
from mpox.data.sources import PhotoSet

Edit = Callable[[pd.DataFrame], pd.DataFrame]


def drawn(root: Path, first: int) -> None:
    """Three pictures of coloured blocks a class, that no others look like."""
    for c, label in enumerate(("mpox", "other")):
        (root / label).mkdir(parents=True, exist_ok=True)
        for k in range(3):
            blocks = np.random.default_rng(first + 10 * c + k).uniform(0, 255, (6, 6, 3)).astype("uint8")
            picture = Image.fromarray(blocks).resize((96, 96), Image.Resampling.BICUBIC)
            picture.save(root / label / f"{k}.png")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[PhotoSet, PhotoSet]:
    """Two audited sets, of which the second has a picture of the first, saved again; paths are of one folder."""
    tmp_path = tmp_path_factory.mktemp("two")
    drawn(tmp_path / "one", 0)
    drawn(tmp_path / "two", 100)
    Image.open(tmp_path / "one" / "mpox" / "0.png").resize((80, 80)).save(tmp_path / "two" / "mpox" / "again.jpg")
    found = []
    for name in ("one", "two"):
        audited = audit([sources.folder(str(tmp_path / name))], tmp_path / "cache").manifest
        found.append(PhotoSet(audited.assign(path=f"{name}/" + audited["path"]), tmp_path))
    return found[0], found[1]


def test_of_two_audits_put_together_copies_are_searched_for(
    two: tuple[PhotoSet, PhotoSet], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = two
    for photos in two:
        assert guard(photos, tmp_path / "cache").manifest["group"].is_unique
    assert "its groups are not taken for whole" not in caplog.text
    both = complete(pd.concat([one.manifest, other.manifest]), "")
    write_manifest(both, tmp_path / "both.csv")
    read = sources.manifest(str(tmp_path / "both.csv"), root=str(one.root))
    caplog.set_level(logging.INFO)
    group = guard(read, tmp_path / "cache").manifest.set_index("photo_id")["group"]
    assert group["one/mpox/0.png"] == group["two/mpox/again.jpg"]
    assert group.nunique() == len(group) - 1
    assert "audited by mpox.curate, but its photos come from 2 audits" in caplog.text


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda frame: frame, ""),
        (lambda frame: frame[frame["label"] == "mpox"], ""),
        (lambda frame: frame.assign(group="all"), ""),
        (lambda frame: frame.assign(label=frame["label"].replace("other", "acne")), "3 labels were changed"),
        (lambda frame: frame.assign(**{AUDITED: ["", *frame[AUDITED][1:]]}), "1 of its 6 photos were not"),
        (lambda frame: pd.concat([frame, frame.assign(group="another")]), "groups were parted"),
        (lambda frame: frame.assign(**{AUDITED: ["1", *frame[AUDITED][1:]]}), "come from 2 audits"),
    ],
)
def test_what_is_edited_after_an_audit(two: tuple[PhotoSet, PhotoSet], edit: Edit, why: str) -> None:
    whole, said = audit_state(edit(two[0].manifest))
    assert whole == (not why)
    assert why in said


def test_a_photo_that_the_audit_did_not_look_at_is_not_audited(tmp_path: Path) -> None:
    drawn(tmp_path / "one", 0)
    manifest = sources.folder(str(tmp_path / "one")).manifest
    manifest["keep"] = manifest["path"] != "mpox/0.png"
    audited = audit([PhotoSet(manifest, tmp_path / "one")], tmp_path / "cache").manifest
    assert audit_state(audited) == (True, "")
    assert audit_state(audited.assign(keep=True)) == (False, "1 of its 6 photos were not")


def test_marks_of_earlier_versions_and_new_labels(two: tuple[PhotoSet, PhotoSet], tmp_path: Path) -> None:
    manifest = two[0].manifest
    write_manifest(manifest.assign(**{AUDITED: 1}), tmp_path / "old.csv")
    assert audit_state(read_manifest(tmp_path / "old.csv")) == (True, "")
    assert audit_state(manifest.drop(columns=AUDITED)) == (False, "")
    assert audit_state(manifest.assign(**{AUDITED: ""})) == (False, "")
    assert manifest[AUDITED].str.startswith(f"{photos_key(manifest)} ").all()
    relabelled = manifest.assign(label="wart one")
    assert not audit_state(relabelled)[0]
    assert audit_state(relabelled.assign(**{AUDITED: with_labels(manifest[AUDITED], relabelled["label"])}))[0]
    assert with_labels(pd.Series(["1", ""]), pd.Series(["a", "b"])).tolist() == ["1", ""]
