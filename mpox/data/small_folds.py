"""Folds that hold hardly any photos of a class: what is measured or fitted on them rests on those few."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

# A fold with fewer photos of a class than this, or fewer independent groups of it, is named.
FEWEST_PHOTOS = 5
FEWEST_GROUPS = 2


def small_folds(label: pd.Series, group: pd.Series, fold: pd.Series, folds: Sequence[int]) -> list[str]:
    """Return a warning for each class with fewer than five photos, or fewer than two groups, in some of `folds`.

    `label`, `group` and `fold` are aligned, one entry a photo; photos of other folds do not count.
    """
    photos = pd.crosstab(fold, label).reindex(list(folds), fill_value=0)
    groups = group.groupby([fold, label]).nunique().unstack(fill_value=0).reindex(list(folds), fill_value=0)
    found = []
    for name in photos.columns:
        few = photos.index[photos[name] < FEWEST_PHOTOS]
        # Folds that are named for their photos are not named again for their groups.
        alone = photos.index[(photos[name] >= FEWEST_PHOTOS) & (groups[name] < FEWEST_GROUPS)]
        parts = []
        if len(few):
            counts = ", ".join(str(n) for n in np.asarray(photos.loc[few, name]))
            parts.append(f"fewer than five photos in {_named(few)} ({counts})")
        if len(alone):
            parts.append(f"fewer than two groups in {_named(alone)}")
        if parts:
            found.append(
                f"{name} has {' and '.join(parts)}: figures of it in a single such fold mean little; lower n_folds or "
                "add photos"
            )
    return found


def _named(folds: pd.Index) -> str:
    return f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"
