"""Photos seen before are found in other files, turned, scaled and saved again; others are not."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from mpox.data.photos import open_photo
from mpox.data.sources import PhotoSet, folder
from mpox.external.seen_before import duplicates


def copies(photos: Path, root: Path) -> tuple[PhotoSet, list[Path]]:
    """A collection of photos of `photos`: each copied, or changed in a way that another hand would."""
    originals = sorted(photos.glob("*/*.*"))[::3]
    changes = [
        lambda photo: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda photo: photo.transpose(Image.Transpose.ROTATE_90),
        lambda photo: photo.transpose(Image.Transpose.TRANSVERSE),
        lambda photo: photo.resize((96, 96), Image.Resampling.BICUBIC),
        lambda photo: photo.point(lambda value: min(255, int(value * 1.2))),
    ]
    for k, path in enumerate(originals):
        place = root / path.parent.name / f"{path.stem}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        if k % 2:
            shutil.copy(path, place.with_suffix(path.suffix))
        else:
            changes[k // 2 % len(changes)](open_photo(path)).save(place, quality=80)
    return folder(str(root), source="copies"), originals


def test_copies_are_found_and_others_are_not(photos: Path, tmp_path: Path) -> None:
    from mpox.data import synthetic

    seen = folder(str(photos), source="seen")
    again, originals = copies(photos, tmp_path / "copies")
    found = duplicates(again, seen)
    assert list(found.columns) == ["photo_id", "other", "kind", "score"]
    names = {Path(a).stem: Path(b).stem for a, b in zip(found["photo_id"], found["other"], strict=True)}
    assert names == {path.stem: path.stem for path in originals}
    assert (found.loc[found["kind"] == "exact", "score"] == 1).all()
    assert (found["kind"] == "exact").sum() == len(originals) // 2
    exact = duplicates(again, seen, perceptual=False)
    assert set(exact["kind"]) == {"exact"}
    synthetic.generate(tmp_path / "new", subjects_per_class=3, photos_per_subject=1, size=48, seed=99)
    for mask in (tmp_path / "new").glob("masks/*/*"):
        mask.unlink()
    assert duplicates(folder(str(tmp_path / "new"), source="new"), seen).empty


@pytest.mark.slow
def test_augmented_copies_of_real_photos(shared_photos: Path) -> None:
    """The authors' own augmented copies of MSLD, against its originals, by the number in the file name."""
    found, augmented = augmented_against_originals(shared_photos)
    right = found["photo_id"].map(number) == found["other"].map(number)
    assert right.mean() > 0.99  # measured: 449 of 450
    assert (
        right.sum() / len(augmented) > 0.75
    )  # measured: 449 of 574; the others are turned by other angles, or sheared


def number(photo_id: str) -> str:
    found = re.search(r"N?M\d+_\d+", photo_id)
    assert found is not None
    return found[0]


def augmented_against_originals(shared: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    originals = folder(str(shared / "msld"), source="msld")
    augmented = folder(str(shared / "msld-augmented"), source="augmented")
    return duplicates(augmented, originals), augmented.manifest
