"""Splits: stratified, grouped, written once, readable and editable; the second of the four files.

Fold k is the test fold of job k, fold k+1 (the last one's next is the first) its validation fold, the rest trains.
Nothing is ever chosen on the test fold.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mpox.data.fold_balance import is_dominated, rebalance
from mpox.errors import UserError
from mpox.files import read_json, write_json

# The fold of the final network, which every photo trains.
ALL = "all"
Fold = int | str
NONE_HELD_OUT = "Every photo trained this network: none is held out."
# Test, validation and training need a fold each.
MIN_FOLDS = 3


@dataclass(frozen=True)
class Folds:
    """Sorted photo ids of each fold, and what made them."""

    ids: tuple[tuple[str, ...], ...]
    seed: int

    @property
    def sha256(self) -> str:
        """Hash of the ids alone: the same splits have the same hash, whatever made them."""
        return hashlib.sha256(json.dumps(self.ids, ensure_ascii=False).encode()).hexdigest()

    def of(self, photo_ids: pd.Series) -> pd.Series:
        """Return the number of the fold that each photo is tested in."""
        return photo_ids.map({photo: k for k, ids in enumerate(self.ids) for photo in ids})

    def roles(self, fold: Fold) -> pd.Series:
        """Return `train`, `val` or `test` for each photo id (the index) of job `fold`; UserError out of range.

        Every photo trains the final network (fold `all`).
        """
        check_fold(fold, len(self.ids))
        names = ["train"] * len(self.ids)
        if fold != ALL:
            names[int(fold)], names[(int(fold) + 1) % len(self.ids)] = "test", "val"
        return pd.Series(
            {photo: name for name, ids in zip(names, self.ids, strict=True) for photo in ids}, name="split"
        )


def title_of(fold: Fold) -> str:
    """Return which photos are held out from a network, in words: `fold 3`, or `every photo` trains it."""
    return "every photo" if fold == ALL else f"fold {fold}"


def check_fold(fold: Fold, n_folds: int) -> None:
    """Raise UserError where there is no such fold to test on, or too few folds to test, validate and train."""
    if n_folds < MIN_FOLDS:
        raise UserError(f"n_folds={n_folds} leaves nothing to train on: it must be at least {MIN_FOLDS}")
    if fold == ALL:
        return
    if not (isinstance(fold, int) and 0 <= fold < n_folds):
        raise UserError(
            f"fold={fold} does not exist: with n_folds={n_folds} the folds are 0 to {n_folds - 1}, and {ALL}"
        )


def make_folds(manifest: pd.DataFrame, n_folds: int, seed: int) -> Folds:
    """Split the kept photos so that no group straddles folds and classes keep their shares (StratifiedGroupKFold).

    Where one group holds more of a class than a fold's share, its fold gets other groups of the class as well
    (`mpox.data.fold_balance`). A pure function of its arguments: the order of the manifest's rows does not matter.
    Raises UserError where a class has fewer groups than there are folds.
    """
    check_fold(0, n_folds)
    kept = manifest[manifest["keep"]].sort_values("photo_id", ignore_index=True)
    groups = kept.groupby("label")["group"].nunique()
    if (scarce := groups[groups < n_folds]).size:
        text = ", ".join(f"{label} has {count}" for label, count in scarce.items())
        raise UserError(
            f"{n_folds} folds need at least {n_folds} independent groups (subjects or unrelated photos) a class, but "
            f"{text}: lower n_folds, add photos or leave the class out"
        )
    from sklearn.model_selection import StratifiedGroupKFold  # a second, which a finished job need not wait for

    splitter = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    fold = np.empty(len(kept), int)
    for number, (_, test) in enumerate(splitter.split(np.zeros(len(kept)), kept["label"], kept["group"])):
        fold[test] = number
    counts = pd.crosstab(kept["group"], kept["label"])
    if is_dominated(counts.to_numpy(), n_folds):
        start = pd.Series(fold).groupby(kept["group"]).first()
        found = rebalance(counts.to_numpy(), start[counts.index].to_numpy(), n_folds)
        fold = kept["group"].map(dict(zip(counts.index, found, strict=True))).to_numpy(int)
    return Folds(tuple(tuple(sorted(kept["photo_id"][fold == number])) for number in range(n_folds)), seed)


def write_folds(folds: Folds, path: Path) -> None:
    """Write the splits as JSON, one sorted list of photo ids a fold, atomically."""
    write_json(path, {"n_folds": len(folds.ids), "seed": folds.seed, "folds": folds.ids})


def read_folds(path: Path, manifest: pd.DataFrame, n_folds: int | None = None) -> Folds:
    """Read a splits file, which may have been edited, and check it against the manifest; `n_folds` None: any number.

    Raises UserError for another number of folds, an empty fold, a photo in two folds, photos that the manifest does not
    have or that the file lacks, and a group that straddles folds.
    """
    content = read_json(path)
    try:
        ids = tuple(tuple(sorted(map(str, fold))) for fold in content["folds"])
        seed = int(content.get("seed", 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a splits file (it needs 'folds', lists of photo ids): restore it") from error
    fix = "correct the file, or delete it to have it made again"
    if n_folds is not None and len(ids) != n_folds:
        raise UserError(f"{path} has {len(ids)} folds, but n_folds={n_folds}: give n_folds={len(ids)} or a new study=")
    if not all(ids):
        raise UserError(f"{path}: fold {[len(fold) for fold in ids].index(0)} is empty: {fix}")
    fold_of = pd.Series({photo: fold for fold, photos in enumerate(ids) for photo in photos})
    kept = manifest[manifest["keep"]].set_index("photo_id")
    if len(fold_of) < sum(map(len, ids)):
        counts = pd.Series([photo for fold in ids for photo in fold]).value_counts()
        raise UserError(f"{path}: {counts.index[0]} is in more than one place ({(counts > 1).sum()} photos are): {fix}")
    if missing := sorted(set(kept.index) - set(fold_of.index)):
        raise UserError(f"{path} lacks {len(missing)} photos of the data set (first: {missing[0]}): {fix}")
    if unknown := sorted(set(fold_of.index) - set(kept.index)):
        raise UserError(f"{path} names {len(unknown)} photos the data set does not have (first: {unknown[0]}): {fix}")
    spread = fold_of.groupby(kept["group"]).nunique()
    if (straddling := spread[spread > 1]).size:
        raise UserError(
            f"{path}: group {straddling.index[0]} is in {straddling.iloc[0]} folds, which leaks between training and "
            f"test ({straddling.size} groups are): {fix}"
        )
    return Folds(ids, seed)
