import dataclasses
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig
from PIL import Image, ImageOps

from mpox.curation.guard import guard
from mpox.data import sources, synthetic
from mpox.data.audited import AUDITED
from mpox.data.manifest import write_manifest
from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.study.results import read_study
from mpox.training.job import train


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine unrelated photos a class, of a subject each, and a mirrored, recoloured copy of the first of each class."""
    root = tmp_path / "photos"
    frame = synthetic.generate(root, subjects_per_class=9, photos_per_subject=1, size=96, seed=1)
    for _, paths in frame.groupby("label")["path"]:
        first = root / sorted(paths)[0]
        copy = Image.fromarray(np.asarray(ImageOps.mirror(Image.open(first)))[..., ::-1])
        copy.save(first.with_name("copy.jpg"), quality=80)
    for mask in root.glob("masks/*/*"):
        mask.unlink()
    return root


def test_copies_share_a_group(folder: Path, tmp_path: Path) -> None:
    found = guard(sources.folder(str(folder)), tmp_path / "cache").manifest
    copies = found[found["path"].str.endswith("copy.jpg")]
    for label, group in zip(copies["label"], copies["group"], strict=True):
        together = found[found["group"] == group]
        assert len(together) == 2
        assert together["label"].tolist() == [label] * 2
    assert found["group"].nunique() == 4 * 9
    assert found["keep"].all()


def test_one_picture_under_two_labels(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = sorted((folder / "acne").glob("*.jpg"))[1]
    Image.open(first).save(folder / "mpox" / "again.png")
    photos = sources.folder(str(folder), source="mine")
    words = rf"1 pairs .* mine/acne/{first.name} \(acne\) and mine/mpox/again\.png \(mpox\).*conflicts=drop"
    with pytest.raises(UserError, match=words) as raised:
        guard(photos, tmp_path / "cache")
    assert "\n" not in str(raised.value)
    caplog.set_level(logging.INFO)
    dropped = guard(photos, tmp_path / "cache", conflicts="drop").manifest
    assert dropped.loc[~dropped["keep"], "photo_id"].tolist() == [f"mine/acne/{first.name}", "mine/mpox/again.png"]
    out = dropped[~dropped["keep"]]
    assert out["reason_kind"].tolist() == ["label_conflict"] * 2
    assert out["reason_other"].tolist() == out["photo_id"].tolist()[::-1]
    assert "left out" in caplog.text
    kept = guard(photos, tmp_path / "cache", conflicts="keep").manifest
    assert kept["keep"].all()
    assert "are kept" in caplog.text


def test_no_copy_of_a_label_conflict_stays(folder: Path, tmp_path: Path) -> None:
    """Copies of equal bytes are compared once; each of them shows the picture."""
    first = sorted((folder / "acne").glob("*.jpg"))[1]
    shutil.copy(first, folder / "acne" / "zz_same.jpg")
    Image.open(first).save(folder / "mpox" / "again.png")
    dropped = guard(sources.folder(str(folder)), tmp_path / "cache", conflicts="drop").manifest
    names = dropped.loc[~dropped["keep"], "path"].str.rpartition("/")[2]
    assert set(names) == {first.name, "zz_same.jpg", "again.png"}


def test_switched_off_or_audited_nothing_is_searched(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = sources.folder(str(folder))
    assert guard(photos, tmp_path / "cache", search="none").manifest["group"].is_unique
    assert "search=none" in caplog.text
    audited = sources.PhotoSet(photos.manifest.assign(**{AUDITED: "1"}), photos.root)
    assert guard(audited, tmp_path / "cache").manifest["group"].is_unique
    assert not (tmp_path / "cache").exists()
    half = photos.manifest.assign(**{AUDITED: ["", *["1"] * (len(photos.manifest) - 1)]})
    assert not guard(sources.PhotoSet(half, photos.root), tmp_path / "cache").manifest["group"].is_unique


def test_auto_searches_fully_where_that_takes_two_minutes_and_says_what_it_did_not_search(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    photos = sources.folder(str(folder))
    copies = guard(photos, tmp_path / "cache").copies
    assert copies is not None and (copies["search"], copies["not_searched"]) == ("full", None)
    assert "data_guard.search=auto (full): copies and other cuts" in caplog.text
    # Drawn pictures have no other cuts; of too many photos they are not searched for.
    drawn = guard(dataclasses.replace(photos, drawn=True), tmp_path / "cache").copies
    assert drawn is not None and (drawn["search"], drawn["not_searched"]) == ("fast", None)
    monkeypatch.setattr("mpox.curation.copies.AUTO_SECONDS", 1)
    copies = guard(photos, tmp_path / "cache").copies
    assert copies is not None and (copies["search"], copies["not_searched"]) == ("fast", "other cuts of one picture")
    assert "(fast): other cuts of one picture are not searched for" in caplog.text
    assert "full would take about" in caplog.text


def test_pictures_without_any_structure_are_searched_without_a_word(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    for label, colour in (("acne", (200, 0, 0)), ("mpox", (0, 200, 0))):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for k in range(3):
            Image.new("RGB", (64, 64), tuple(part + 20 * k for part in colour)).save(
                tmp_path / "photos" / label / f"{k}.png"
            )
    found = guard(sources.folder(str(tmp_path / "photos")), tmp_path / "cache", search="full")
    assert found.manifest["group"].is_unique
    assert not [one for one in recwarn if issubclass(one.category, RuntimeWarning)]


def test_a_study_says_what_was_searched_and_goes_on_with_auto(
    folder: Path, tmp_path: Path, configured: Callable[..., DictConfig]
) -> None:
    """A study made when `fast` was the default is not another study because the default is now `auto`."""
    train(configured(f"data.root={folder}", "schedule=probe"))
    made = read_json(tmp_path / "runs/default/data.json")
    assert made["copies"]["not_searched"] == "other cuts of one picture"
    write_json(tmp_path / "runs/default/data.json", {key: value for key, value in made.items() if key != "copies"})
    for options in (["fold=1"], []):  # the second is the run that is done: nothing is made again
        train(configured(f"data.root={folder}", "schedule=probe", "data_guard.search=auto", *options))
    (warning,) = [line for line in read_study(tmp_path / "runs", "default", allow_partial=True).warnings
                  if "fold" in line]  # fmt: skip
    assert warning.startswith("only 2 of 3 folds")
    write_json(tmp_path / "runs/default/data.json", made)
    warnings = read_study(tmp_path / "runs", "default", allow_partial=True).warnings
    assert any(line.startswith("other cuts of one picture were not searched for") for line in warnings)


@pytest.mark.parametrize(("option", "words"), [("search", "auto, none, fast, full"), ("conflicts", "stop, drop, keep")])
def test_unknown_options(folder: Path, tmp_path: Path, option: str, words: str) -> None:
    with pytest.raises(UserError, match=f"data_guard.{option}=off is unknown: choose one of {words}"):
        guard(sources.folder(str(folder)), tmp_path, **{option: "off"})


def test_training_never_parts_copies(folder: Path, tmp_path: Path, configured: Callable[..., DictConfig]) -> None:
    train(configured(f"data.root={folder}"))
    manifest = pd.read_parquet(tmp_path / "runs/default/manifest.parquet")
    assert manifest["group"].nunique() == 4 * 9
    predicted = pd.read_parquet(tmp_path / "runs/default/mobilenetv3_small_100/fold-0/predictions.parquet")
    split = predicted.set_index("photo_id")["split"].reindex(manifest["photo_id"]).fillna("train").to_numpy()
    assert (manifest.assign(split=split).groupby("group")["split"].nunique() == 1).all()
    with pytest.raises(UserError, match=r"data\.guard.*another study"):
        train(configured(f"data.root={folder}", "data_guard.search=none", "fold=1"))


def test_training_takes_an_audited_manifest_as_it_is(
    folder: Path, tmp_path: Path, configured: Callable[..., DictConfig]
) -> None:
    audited = sources.folder(str(folder)).manifest.assign(**{AUDITED: "1"})
    write_manifest(audited, tmp_path / "audited.csv")
    train(configured("data=manifest", f"data.manifest={tmp_path}/audited.csv", f"data.root={folder}"))
    assert pd.read_parquet(tmp_path / "runs/default/manifest.parquet")["group"].is_unique
