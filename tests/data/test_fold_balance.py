"""Folds where one group holds a large part of a class, held against every assignment there is."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from drawn_manifest import drawn_manifest
from sklearn.model_selection import StratifiedGroupKFold

from mpox.data.folds import make_folds
from mpox.data.small_folds import small_folds


def sizes_of_folds(per_class: dict[str, list[int]], label: str, n_folds: int, seed: int) -> list[list[int]]:
    """Sizes of the class's groups in each fold."""
    manifest = drawn_manifest(per_class)
    folds = make_folds(manifest, n_folds, seed)
    of_class = manifest[manifest["label"] == label]
    sizes = of_class.groupby([folds.of(of_class["photo_id"]), "group"]).size()
    return [sizes.loc[fold].tolist() if fold in sizes.index else [] for fold in range(n_folds)]


def unevenness(folds: list[list[int]]) -> float:
    return float(np.var([sum(fold) for fold in folds]))


@pytest.mark.parametrize(
    ("sizes", "n_folds"),
    [
        ([20, 9, 6, 4, 3, 2, 2, 1], 3),
        ([40, 5, 5, 5, 5, 2, 2, 2], 3),
        ([30, 20, 7, 6, 5, 5, 1, 1], 4),
        ([12, 6, 6, 3, 2, 2, 1, 1], 4),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_folds_are_as_good_as_the_best_of_all_assignments(sizes: list[int], n_folds: int, seed: int) -> None:
    """Two groups a fold, then most photos where they lack, then even: no assignment of eight groups is better."""
    made = sizes_of_folds({"mpox": sizes, "healthy": [1] * 40}, "mpox", n_folds, seed)
    assert min(map(len, made)) == 2
    possible = []
    for folds in product(range(n_folds), repeat=len(sizes)):
        parts = [[size for size, fold in zip(sizes, folds, strict=True) if fold == k] for k in range(n_folds)]
        if min(map(len, parts)) >= 2:
            possible.append((min(5, min(map(sum, parts))), -unevenness(parts)))
    fewest, evenness = max(possible)
    assert min(5, min(map(sum, made))) == fewest
    assert unevenness(made) <= 1.02 * -evenness


def test_a_fold_of_one_patient_gets_others_as_well() -> None:
    """scikit-learn's split leaves the fold with 60 photos of one patient alone."""
    for seed in range(5):
        made = sizes_of_folds({"mpox": [60] + [1] * 40, "healthy": [1] * 200}, "mpox", 10, seed)
        assert min(map(len, made)) == 2
        assert sorted(map(sum, made))[0] == 4
        others = sizes_of_folds({"mpox": [60] + [1] * 40, "healthy": [1] * 200}, "healthy", 10, seed)
        assert {len(fold) for fold in others} == {20}


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_photos_are_split_as_ever(seed: int) -> None:
    random = np.random.default_rng(seed)
    manifest = drawn_manifest({label: random.integers(1, 4, 40).tolist() for label in ("acne", "healthy", "mpox")})
    ordered = manifest.sort_values("photo_id", ignore_index=True)
    splitter = StratifiedGroupKFold(10, shuffle=True, random_state=seed)
    expected = tuple(
        tuple(sorted(ordered["photo_id"].iloc[test]))
        for _, test in splitter.split(np.zeros(len(ordered)), ordered["label"], ordered["group"])
    )
    assert make_folds(manifest, 10, seed).ids == expected


def test_folds_that_hold_hardly_any_photos_are_named_by_class() -> None:
    label = pd.Series(["mpox"] * 12 + ["acne"] * 12 + ["healthy"] * 12)
    fold = pd.Series([0] * 8 + [1] * 4 + ([0] * 6 + [1] * 6) * 2)
    group = pd.Series([*range(12), *[20] * 6, *range(30, 36), *range(40, 52)])
    acne, mpox = small_folds(label, group, fold, (0, 1))
    assert mpox.startswith("mpox has fewer than five photos in fold 1 (4): ")
    assert acne.startswith("acne has fewer than two groups in fold 0: ")
    # Of folds that are asked about alone; one without the class holds the fewest.
    assert len(small_folds(label, group, fold, (1,))) == 1
    assert "folds 1, 2 (4, 0)" in small_folds(label, group, fold, (0, 1, 2))[-1]
