"""From the classes of one collection to those of a study: labels by name, logits by summing probabilities."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mpox.data.names import key
from mpox.data.task import REST
from mpox.errors import UserError
from mpox.stats.metrics import METRICS, Metrics

# Columns of the logits of the study's classes, where photos are scored in fewer.
STUDY_PREFIX = "study_logit_"


def task_classes(classes: Sequence[str], positive: int | None, *, binary: bool) -> tuple[tuple[str, ...], int | None]:
    """Return the classes photos are scored in and the index of mpox: the study's own, or mpox against the rest.

    Raises UserError for `binary` where the study has no mpox class.
    """
    if not binary:
        return tuple(classes), positive
    if positive is None:
        raise UserError(f"binary=true needs a study that knows mpox; its classes are {', '.join(classes)}")
    return (REST, classes[positive]), 1


def map_labels(
    labels: pd.Series,
    classes: Sequence[str],
    positive: int | None,
    *,
    mapping: Mapping[str, str | None],
    names: Sequence[str],
) -> pd.Series:
    """Return for each label the class it is scored as; None where `mapping` leaves it out.

    In this order: the entry of `mapping` (any case), the class of the same name (any case), mpox for one of
    `names` (any case), and, where the classes are mpox against the rest, the rest. Raises UserError for labels that
    none of these place, for a mapping to a class the study does not have, and where nothing is left to score.
    """
    own = {key(name): name for name in classes}
    given = {key(str(name)): target for name, target in mapping.items()}
    if foreign := sorted({str(target) for target in given.values() if target is not None} - set(classes)):
        raise UserError(f"map names {', '.join(foreign)}, which the study does not know: it has {', '.join(classes)}")
    if unused := sorted(set(given) - set(labels.map(key))):
        raise UserError(
            f"map names {', '.join(unused)}, which is no class of these photos: they have "
            f"{', '.join(sorted(labels.unique()))}"
        )
    mpox = {key(name) for name in names} if positive is not None else set()
    placed: dict[str, str | None] = {}
    unknown = []
    for label in sorted(labels.unique()):
        name = key(label)
        if name in given:
            placed[label] = given[name]
        elif name in own:
            placed[label] = own[name]
        elif name in mpox and positive is not None:
            placed[label] = classes[positive]
        elif len(classes) == 2 and positive is not None and classes[1 - positive] == REST:
            placed[label] = REST
        else:
            unknown.append(label)
    if unknown:
        pairs = ", ".join(f"{name}: <class>" for name in unknown)
        raise UserError(
            f"the study does not know {', '.join(unknown)} (its classes: {', '.join(classes)}): give what each is "
            f"scored as with 'map={{{pairs}}}', null to leave it out, or score mpox against the rest with binary=true"
        )
    scored = labels.map(placed).astype(object)
    scored = scored.where(scored.notna(), None)
    if scored.isna().all():
        raise UserError("map leaves every photo out: give at least one class of these photos a class of the study")
    return scored


def absent_classes(classes: Sequence[str], labels: Iterable[str]) -> tuple[str, ...]:
    """Return the classes that no photo is labelled as, in order."""
    present = set(labels)
    return tuple(name for name in classes if name not in present)


def of_classes_there(metrics: Mapping[str, float | int | None], absent: Sequence[str]) -> Metrics:
    """Return metrics with None for those that are means over the classes where some are absent.

    The mean over the classes that are there is another figure, which must not be shown beside that over all.
    """
    return {name: None if absent and _over_classes(name) else value for name, value in metrics.items()}


def _over_classes(name: str) -> bool:
    return name in METRICS and METRICS[name].over_classes


def collapse(logits_NC: np.ndarray, positive: int) -> np.ndarray:
    """Turn logits (N, C) into (N, 2) of the rest and mpox, whose softmax sums the probabilities of the rest."""
    logits = logits_NC.astype("float64")
    rest = np.logaddexp.reduce(np.delete(logits, positive, axis=1), axis=1)
    return np.stack([rest, logits[:, positive]], 1).astype("float32")


def ensemble(logits_KNC: np.ndarray) -> np.ndarray:
    """Return log-probabilities (N, C) float32 of the mean of K networks' probabilities; logits are (K, N, C)."""
    logits = logits_KNC.astype("float64")
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    mean = np.logaddexp.reduce(log_probabilities, axis=0) - np.log(len(logits))
    return mean.astype("float32")
