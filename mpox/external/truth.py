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


def is_true(table: pd.DataFrame, photos: "ExternalSet") -> bool:
    """Return whether predictions (photo_id, label, group) are of the labels and groups that the photos have now."""
    return truth_sha256(table) == truth_sha256(truth_of(photos))
