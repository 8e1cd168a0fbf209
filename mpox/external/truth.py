"""What photos were said to show, and whose they are, when networks were scored on them; such facts are corrected."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from mpox.external.scoring import ExternalSet  # which brings PyTorch, without which studies are compared


def truth_of(photos: "ExternalSet") -> pd.DataFrame:
    """Return photo_id, label (a class of the study) and group of each photo, as predictions hold them."""
    label = np.asarray(photos.classes)[photos.targets]
    return photos.photos.manifest[["photo_id", "group"]].assign(label=label)


def truth_sha256(table: pd.DataFrame) -> str:
    """Return the SHA-256 of label and group by photo, of predictions or of `truth_of`, in whatever order they come."""
    rows = table.sort_values("photo_id")[["photo_id", "label", "group"]].astype(str)
    return hashlib.sha256(repr(rows.to_numpy().tolist()).encode()).hexdigest()


def changed_truth(table: pd.DataFrame, photos: "ExternalSet") -> str:
    """Say how label or group of photos differ from those in the predictions of them; empty where they do not."""
    both = table[["photo_id", "label", "group"]].merge(truth_of(photos), on="photo_id", suffixes=("", "_now"))
    changed = both[(both["label"] != both["label_now"]) | (both["group"] != both["group_now"])]
    if changed.empty:
        return ""
    one = changed.iloc[0]
    what = "label" if one["label"] != one["label_now"] else "group"
    example = f"{one['photo_id']}: {what} {one[what]}, now {one[f'{what}_now']}"
    return f"label or group of {len(changed)} photo{'s' * (len(changed) > 1)} changed ({example})"
