"""Which fold each group goes to where one group holds a large part of a class, and its fold can hold little else.

Balancing photos alone then leaves a fold with one patient of the class: no interval, and no figure that means anything.
"""

from itertools import combinations

import numpy as np

from mpox.data.small_folds import FEWEST_GROUPS, FEWEST_PHOTOS

# Cost of a class that lacks photos or groups in a fold, added to that of uneven numbers of photos.
SHORTFALL_COST = 1000.0
# An exchange of groups that gains less than this is rounding.
SMALLEST_GAIN = 1e-6


def is_dominated(photos_GC: np.ndarray, n_folds: int) -> bool:
    """Return whether one group holds more of a class than a fold's even share; photos int64 of each group and class."""
    return bool((photos_GC.max(0) * n_folds > photos_GC.sum(0)).any())


def rebalance(photos_GC: np.ndarray, fold_G: np.ndarray, n_folds: int) -> np.ndarray:
    """Return a fold for each group (int64, 0..n_folds-1), never worse than the given ones.

    Groups move and change places between two folds at a time, the best exchange first, until none helps. First come
    enough photos and independent groups of each class in each fold (five and two, or as many as there are for each),
    then equal numbers of photos of each class. Depends on its arguments alone.
    """
    fold_G = fold_G.copy()
    cost = _Cost(photos_GC, n_folds)
    improved = True
    while improved:
        improved = False
        for one, other in combinations(range(n_folds), 2):
            while (exchange := _best_exchange(cost, photos_GC, fold_G, one, other)) is not None:
                fold_G[exchange[0]], fold_G[exchange[1]] = other, one
                improved = True
    return fold_G


class _Cost:
    """What is wrong with a fold: the sum over classes, and so over folds, can be compared between assignments."""

    def __init__(self, photos_GC: np.ndarray, n_folds: int) -> None:
        total, groups = photos_GC.sum(0), (photos_GC > 0).sum(0)
        self.even = total / n_folds
        self.least_photos = np.clip(total // n_folds, 1, FEWEST_PHOTOS)
        self.least_groups = np.clip(groups // n_folds, 1, FEWEST_GROUPS)

    def __call__(self, photos: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Return the cost (...) of folds that hold so many photos and groups (..., C) of each class."""
        few = np.maximum(0, 1 - photos / self.least_photos) ** 2 + np.maximum(0, 1 - groups / self.least_groups) ** 2
        return (SHORTFALL_COST * few + (photos / self.even - 1) ** 2).sum(-1)


def _best_exchange(
    cost: _Cost, photos_GC: np.ndarray, fold_G: np.ndarray, one: int, other: int
) -> tuple[list[int], list[int]] | None:
    """Return the groups (at most one each) to send from `one` to `other` and back; None where no exchange helps."""
    sides = [_kinds(photos_GC, np.flatnonzero(fold_G == fold)) for fold in (one, other)]
    (groups_one, photos_one), (groups_other, photos_other) = sides
    moved = photos_one[:, None] - photos_other[None]
    moved_groups = (photos_one > 0)[:, None].astype(int) - (photos_other > 0)[None]
    after = np.zeros(moved.shape[:2])
    for fold, sign in ((one, -1), (other, 1)):
        held = photos_GC[fold_G == fold]
        after += cost(held.sum(0) + sign * moved, (held > 0).sum(0) + sign * moved_groups)
    # The last of either side is no group: both together change nothing.
    best = np.unravel_index(after.argmin(), after.shape)
    if after[best] > after[-1, -1] - SMALLEST_GAIN:
        return None
    return groups_one[best[0]], groups_other[best[1]]


def _kinds(photos_GC: np.ndarray, members: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
    """Return one of each kind of group (equal photos of each class) and its photos; last, no group."""
    kinds, first = np.unique(photos_GC[members], axis=0, return_index=True)
    no_group = np.zeros((1, photos_GC.shape[1]), kinds.dtype)
    return [*([int(members[k])] for k in first), []], np.concatenate([kinds, no_group])
