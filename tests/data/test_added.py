"""Photos that came to a study's folder or table after it began are named; what it left out on purpose is not."""

import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mpox.data import sources
from mpox.data.added import warn_of_added

FOLDER = {"_target_": "mpox.data.sources.folder"}


@pytest.fixture
def own(photos: Path, tmp_path: Path) -> Path:
    """The photos in a folder that a test may change."""
    return Path(shutil.copytree(photos, tmp_path / "own"))


def add(own: Path, *places: str) -> None:
    for place in places:
        (own / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(next(own.glob("acne/*")), own / place)


def said(
    caplog: pytest.LogCaptureFixture, manifest: pd.DataFrame, root: Path, described: dict[str, Any] = FOLDER
) -> list[str]:
    caplog.clear()
    warn_of_added("s", manifest, described, root)
    return [record.getMessage() for record in caplog.records]


def test_photos_and_classes_that_were_added_are_named_once(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = sources.folder(str(own)).manifest
    assert said(caplog, manifest, own) == []
    add(own, "mpox/new.png")
    assert said(caplog, manifest, own) == [
        f"1 photo in {own} is not in study s and not used (1 mpox; first: mpox/new.png): start a new study= to use it"
    ]
    add(own, "cowpox/1.png", "cowpox/2.png", "stray.png")
    assert said(caplog, manifest, own) == [
        f"4 photos in {own} are not in study s and not used (2 cowpox, 1 mpox, 1 in no class folder; the study has no "
        "class cowpox; first: cowpox/1.png): start a new study= to use them"
    ]
    assert said(caplog, manifest, own) == []  # the other jobs of the sweep


def test_what_a_study_left_out_or_never_looks_at_is_not_named(
    own: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add(own, "mpox/\N{LATIN SMALL LETTER E WITH ACUTE}.png")
    manifest = sources.folder(str(own)).manifest
    manifest.loc[:3, "keep"] = False
    manifest["path"] = [unicodedata.normalize("NFD", path) for path in manifest["path"]]  # as a Mac would write it
    add(own, ".hidden/1.png", "mpox/._1.png", "runs/study/model/fold-0/explain/1.png")
    (own / "runs" / "study" / "manifest.parquet").touch()
    (own / "runs" / "study" / "splits.json").touch()
    (own / "mpox" / "notes.txt").write_text("no photo")
    assert said(caplog, manifest, own) == []


def test_the_class_is_that_of_the_configuration(own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inner = tmp_path / "deep" / "part"
    inner.parent.mkdir()
    own.rename(inner)
    options: dict[str, Any] = {
        "class_level": -1,
        "classes": {name.name: name.name.upper() for name in inner.iterdir() if any(name.glob("*.*"))},
    }
    root = inner.parent
    manifest = sources.folder(str(root), **options).manifest
    add(inner, "mpox/new.png", "cowpox/1.png")
    assert "(1 cowpox, 1 MPOX; the study has no class cowpox;" in "".join(
        said(caplog, manifest, root, {**FOLDER, **options})
    )


def test_rows_of_the_study_s_sources_that_its_table_has_gained(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [path.relative_to(photos).as_posix() for path in sorted(photos.glob("*/*.*"))]
    frame = pd.DataFrame({"path": paths, "label": [path.partition("/")[0] for path in paths]})
    frame = frame.assign(source=["a", "b", "c"] * (len(paths) // 3), keep=True)
    table = tmp_path / "m.csv"
    described = {"_target_": "mpox.data.sources.manifest", "manifest": str(table), "without": "c"}
    frame[:12].to_csv(table, index=False)
    manifest = sources.manifest(str(table), root=str(photos), without="c").manifest
    assert said(caplog, manifest, photos, described) == []
    frame.loc[12, "keep"] = False
    frame.to_csv(table, index=False)
    assert "".join(said(caplog, manifest, photos, described)).startswith("7 photos in ")
    assert said(caplog, manifest, photos, {"_target_": "own.package.photos"}) == []  # unknown: nothing to ask
