"""The predictions file: a run's logits of each photo it did not train on, so that all metrics can be recomputed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mpox.errors import UserError
from mpox.files import replacing
from mpox.stats.metrics import Metrics, classification_metrics

COLUMNS = ("photo_id", "path", "group", "source", "fold", "split", "label")
PREFIX = "logit_"


def predictions_table(
    manifest: pd.DataFrame,
    rows: np.ndarray,
    logits_NC: np.ndarray,
    *,
    classes: Sequence[str],
    targets: np.ndarray,
    splits: np.ndarray,
    fold: int | str,
) -> pd.DataFrame:
    """Join logits (float32, row i of `rows`) to the manifest: one row a photo, sorted by split and photo id.

    `targets` (int64) and `splits` are in the order of the manifest; `label` is the class name of the task.
    """
    table = manifest.iloc[rows][["photo_id", "path", "group", "source"]].reset_index(drop=True)
    table["fold"] = fold
    table["split"] = splits[rows]
    table["label"] = np.asarray(classes)[targets[rows]]
    for k, name in enumerate(classes):
        table[f"{PREFIX}{name}"] = logits_NC[:, k].astype("float32")
    return table.sort_values(["split", "photo_id"], ignore_index=True)


def score(predictions: pd.DataFrame, classes: Sequence[str], positive: int | None) -> Metrics:
    """Return `classification_metrics` of a predictions table (or a part of it)."""
    logits = predictions[[f"{PREFIX}{name}" for name in classes]].to_numpy()
    index = {name: k for k, name in enumerate(classes)}
    targets = predictions["label"].map(index).to_numpy("int64")
    return classification_metrics(logits, targets, classes, positive)


def write_predictions(predictions: pd.DataFrame, path: Path) -> None:
    """Write the table as parquet, atomically."""
    with replacing(path) as temporary:
        predictions.to_parquet(temporary, index=False)


def read_predictions(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read a predictions file; return it with its class names in the order of the logits. Raises UserError."""
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as predictions ({error}): run the job again") from error
    if lacking := [name for name in COLUMNS if name not in table]:
        raise UserError(f"{path} lacks the columns {', '.join(lacking)}: it is not a predictions file of this tool")
    return table, [name.removeprefix(PREFIX) for name in map(str, table.columns) if name.startswith(PREFIX)]
