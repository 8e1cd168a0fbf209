from pathlib import Path

import pandas as pd
import pytest
from drawn_manifest import drawn_manifest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpox.data.folds import make_folds, read_folds, write_folds
from mpox.errors import UserError
from mpox.files import read_json, write_json

SIZES = st.lists(st.integers(1, 4), min_size=10, max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["mpox", "acne", "healthy"]), SIZES, min_size=2),
    st.integers(3, 10),
    st.integers(0, 9),
)
def test_folds_are_disjoint_grouped_complete_and_balanced(
    per_class: dict[str, list[int]], n_folds: int, seed: int
) -> None:
    manifest = drawn_manifest(per_class)
    folds = make_folds(manifest, n_folds, seed)
    everyone = [photo for fold in folds.ids for photo in fold]
    assert sorted(everyone) == sorted(manifest["photo_id"])  # every photo is tested exactly once
    fold_of = pd.Series({photo: k for k, fold in enumerate(folds.ids) for photo in fold})
    by_photo = manifest.set_index("photo_id")
    assert (fold_of.groupby(by_photo["group"]).nunique() == 1).all()
    counts = pd.crosstab(fold_of, by_photo["label"].reindex(fold_of.index)).reindex(range(n_folds), fill_value=0)
    even = by_photo["label"].value_counts() / n_folds
    largest_group = 4
    assert ((counts - even).abs() <= 2 * largest_group).all().all()
    for k in range(n_folds):
        roles = folds.roles(k)
        assert set(roles.index[roles == "test"]) == set(folds.ids[k])
        assert set(roles.index[roles == "val"]) == set(folds.ids[(k + 1) % n_folds])
        assert (roles == "train").sum() == len(everyone) - len(folds.ids[k]) - len(folds.ids[(k + 1) % n_folds])


def test_splits_do_not_depend_on_the_order_of_rows_but_on_the_seed() -> None:
    manifest = drawn_manifest({"mpox": [2] * 15, "acne": [1] * 20})
    assert make_folds(manifest, 5, 0) == make_folds(manifest.sample(frac=1, random_state=3), 5, 0)
    assert make_folds(manifest, 5, 0).sha256 != make_folds(manifest, 5, 1).sha256


def test_photos_left_out_are_in_no_fold() -> None:
    manifest = drawn_manifest({"mpox": [1] * 6, "acne": [1] * 6})
    manifest.loc[0, "keep"] = False
    folds = make_folds(manifest, 3, 0)
    assert manifest.loc[0, "photo_id"] not in {photo for fold in folds.ids for photo in fold}


@pytest.mark.parametrize(
    ("n_folds", "fold", "words"),
    [(3, 3, "fold=3 does not exist"), (3, -1, "fold=-1 does not exist"), (2, 0, "must be at least 3")],
)
def test_impossible_folds(n_folds: int, fold: int, words: str) -> None:
    manifest = drawn_manifest({"mpox": [1] * 6, "acne": [1] * 6})
    with pytest.raises(UserError, match=words):
        make_folds(manifest, n_folds, 0).roles(fold)


def test_class_with_fewer_groups_than_folds_is_named() -> None:
    with pytest.raises(UserError, match="acne has 2"):
        make_folds(drawn_manifest({"mpox": [1] * 6, "acne": [5, 5]}), 3, 0)


def edited(path: Path, manifest: pd.DataFrame) -> dict[str, list[list[str]]]:
    write_folds(make_folds(manifest, 3, 0), path)
    return read_json(path)


def test_splits_file_round_trip_and_edits(tmp_path: Path) -> None:
    manifest = drawn_manifest({"mpox": [1] * 6, "acne": [2] * 6})
    path = tmp_path / "splits.json"
    content = edited(path, manifest)
    assert read_folds(path, manifest, 3) == make_folds(manifest, 3, 0)
    assert all(fold == sorted(fold) for fold in content["folds"])
    # A photo alone in its group may be moved by hand.
    single = next(photo for photo in content["folds"][0] if "mpox" in photo)
    content["folds"][0].remove(single)
    content["folds"][1].append(single)
    write_json(path, content)
    assert single in read_folds(path, manifest, 3).ids[1]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folds: folds[1].append(folds[0][0]), "more than one place"),
        (lambda folds: folds[0].pop(), "lacks 1 photos"),
        (lambda folds: folds[0].append("made/none.jpg"), "does not have"),
        (lambda folds: folds.pop(), "has 2 folds"),
        (lambda folds: folds[0].clear(), "is empty"),
        (lambda folds: folds[1].append(folds[0].pop(0)), "leaks"),
    ],
)
def test_broken_splits_file(tmp_path: Path, damage: object, words: str) -> None:
    manifest = drawn_manifest({"mpox": [2] * 6, "acne": [2] * 6})
    path = tmp_path / "splits.json"
    content = edited(path, manifest)
    damage(content["folds"])  # type: ignore[operator]
    write_json(path, content)
    with pytest.raises(UserError, match=words):
        read_folds(path, manifest, 3)


def test_splits_file_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"splits\.json is not valid JSON"):
        read_folds(path, drawn_manifest({"mpox": [1] * 6, "acne": [1] * 6}), 3)
