"""The classification task: every class, or mpox against the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mpox.data.names import key
from mpox.errors import UserError

# The name of everything that is not mpox in the binary task.
REST = "other"


@dataclass(frozen=True)
class Targets:
    """Class names in the order of the logits, one target a photo (int64, 0..C-1), and which class is mpox (or None)."""

    classes: tuple[str, ...]
    values: np.ndarray
    positive: int | None


def label_map(labels: pd.Series, targets: Targets) -> dict[str, int]:
    """Return the class index of each label, as a task assigned them: a run's card keeps it.

    Raises UserError for a task that gives photos of one label different classes, which nothing later could repeat.
    """
    placed = pd.DataFrame({"label": labels.to_numpy(), "target": targets.values}).drop_duplicates()
    if split := sorted(placed.loc[placed["label"].duplicated(), "label"].unique()):
        raise UserError(f"the task gives photos of {split[0]} different classes: a class must follow from the label")
    return {str(label): int(target) for label, target in placed.sort_values("label").itertuples(index=False)}


def indices(labels: pd.Series, placed: Mapping[str, int]) -> np.ndarray:
    """Return the class index (int64) of each label, by `label_map`. Raises UserError for a label it does not hold."""
    if unknown := sorted(set(labels) - set(placed)):
        raise UserError(f"the photos hold a class the run does not know ({unknown[0]}): use the run's own study")
    return labels.map(dict(placed)).to_numpy("int64")


def multiclass(labels: pd.Series, *, positive: Sequence[str]) -> Targets:
    """Every label is a class, in alphabetical order. `positive` are the names (any case) that mean mpox.

    Raises UserError for fewer than two classes.
    """
    classes = tuple(sorted(labels.unique()))
    _check_two(classes)
    index = {name: k for k, name in enumerate(classes)}
    names = {key(str(name)) for name in positive}
    positives = [k for k, name in enumerate(classes) if key(name) in names]
    if len(positives) > 1:
        both = ", ".join(classes[k] for k in positives)
        raise UserError(f"several classes mean mpox ({both}): give them one name in data.classes")
    return Targets(classes, labels.map(index).to_numpy("int64"), positives[0] if positives else None)


def binary(labels: pd.Series, *, positive: Sequence[str]) -> Targets:
    """mpox (class 1) against the rest (class 0, named `other`). Raises UserError where no label means mpox."""
    names = {key(str(name)) for name in positive}
    is_positive = labels.map(key).isin(names)
    found = sorted(labels[is_positive].unique())
    if not found:
        raise UserError(
            f"task=binary finds no mpox among the classes {', '.join(sorted(labels.unique()))}: "
            "add the name of that class to task.positive"
        )
    classes = (REST, found[0])
    _check_two(classes if not is_positive.all() else found)
    return Targets(classes, is_positive.to_numpy("int64"), 1)


def _check_two(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise UserError(f"there is only one class ({', '.join(classes)}): a comparison needs two or more")
