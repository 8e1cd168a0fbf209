"""One model's pooled answers taken apart: by class, by subgroup of the photos, as curves, and the worst of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from mpox.stats.auroc import auroc_interval
from mpox.stats.intervals import mean_proportion, proportion
from mpox.stats.model_result import ClassScore, Curve, Mistake, Subgroup

# Points of a curve that are kept: more than a picture can show.
POINTS = 300
# Edges of the resolution bins: the shorter side in pixels.
RESOLUTIONS = {256: "under 256 px", 512: "256 to 511 px", 1024: "512 to 1023 px"}
FINEST = "1024 px and more"


def class_scores(
    answers_N: np.ndarray,
    probabilities_NC: np.ndarray,
    targets_N: np.ndarray,
    codes_N: np.ndarray,
    classes: Sequence[str],
    aurocs: Sequence[float],
    confidence: float,
) -> tuple[ClassScore, ...]:
    """Score each class against the rest; `aurocs` are the classes' own."""
    scores = []
    for k, label in enumerate(classes):
        members, called = targets_N == k, answers_N == k
        scores.append(
            ClassScore(
                label=label,
                n=int(members.sum()),
                recall=proportion(called[members], codes_N[members], confidence),
                precision=proportion(members[called], codes_N[called], confidence),
                specificity=proportion(~called[~members], codes_N[~members], confidence),
                auroc=auroc_interval(aurocs[k], probabilities_NC[None], targets_N, (k,), codes_N, confidence),
            )
        )
    return tuple(scores)


def curve(
    label: str,
    probability_N: np.ndarray,
    is_class_N: np.ndarray,
    auroc: float,
    average_precision: float,
) -> Curve:
    """Return ROC and precision-recall points of one class against the rest (scikit-learn's), thinned."""
    fpr, tpr, _ = roc_curve(is_class_N, probability_N)
    precision, recall, _ = precision_recall_curve(is_class_N, probability_N)
    keep_roc, keep_pr = _thinned(len(fpr)), _thinned(len(recall))
    return Curve(
        label=label,
        fpr=tuple(map(float, fpr[keep_roc])),
        tpr=tuple(map(float, tpr[keep_roc])),
        recall=tuple(map(float, recall[::-1][keep_pr])),
        precision=tuple(map(float, precision[::-1][keep_pr])),
        auroc=auroc,
        average_precision=average_precision,
        prevalence=float(is_class_N.mean()),
    )


def subgroup_labels(photos: pd.DataFrame, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Return for each column with two values or more the value of each photo (str, N; empty: unknown).

    `resolution` is made from width and height; the others are read as they are, and left out where they are not there.
    """
    found: dict[str, np.ndarray] = {}
    for column in columns:
        if column == "resolution" and {"width", "height"} <= set(photos.columns):
            values = _resolution(photos[["width", "height"]].min(axis=1).to_numpy())
        elif column in photos:
            values = photos[column].astype(object).where(photos[column].notna(), "").astype(str).to_numpy(str)
        else:
            continue
        if len(set(values) - {""}) > 1:
            found[column] = values
    return found


def subgroups(
    answers_N: np.ndarray,
    targets_N: np.ndarray,
    codes_N: np.ndarray,
    labels: Mapping[str, np.ndarray],
    positive: int | None,
    confidence: float,
    called_N: np.ndarray | None = None,
) -> tuple[Subgroup, ...]:
    """Score the photos of each value of each column of `labels` (from `subgroup_labels`).

    `called_N` (bool): which photos are called mpox at the threshold. Balanced accuracy is over the classes present,
    which may differ between subgroups.
    """
    hit = answers_N == targets_N
    found = []
    for column, values in labels.items():
        for value in sorted(set(values) - {""}, key=_place):
            members = values == value
            sick, well = members & (targets_N == positive), members & (targets_N != positive)
            found.append(
                Subgroup(
                    column=column,
                    value=value,
                    n=int(members.sum()),
                    accuracy=proportion(hit[members], codes_N[members], confidence),
                    balanced_accuracy=mean_proportion(hit[members], targets_N[members], codes_N[members], confidence),
                    sensitivity=None if positive is None else proportion(hit[sick], codes_N[sick], confidence),
                    specificity=None
                    if positive is None
                    else proportion(answers_N[well] != positive, codes_N[well], confidence),
                    sensitivity_at_threshold=None
                    if called_N is None
                    else proportion(called_N[sick], codes_N[sick], confidence),
                )
            )
    return tuple(found)


def mistakes(
    photos: pd.DataFrame,
    probabilities_NC: np.ndarray,
    targets_N: np.ndarray,
    classes: Sequence[str],
    count: int,
) -> tuple[Mistake, ...]:
    """Return the `count` photos answered wrongly with the highest probability, that first.

    Where none is, those answered rightly with the lowest: what comes nearest to a mistake.
    """
    answers, stated = probabilities_NC.argmax(1), probabilities_NC.max(1)
    wrong = np.flatnonzero(answers != targets_N)
    worst = (wrong[np.argsort(-stated[wrong], kind="stable")] if len(wrong) else np.argsort(stated, kind="stable"))[
        :count
    ]
    return tuple(
        Mistake(
            photo_id=str(photos["photo_id"].iloc[i]),
            path=str(photos["path"].iloc[i]),
            fold=int(photos["fold"].iloc[i]),
            label=classes[targets_N[i]],
            predicted=classes[answers[i]],
            probability=float(stated[i]),
            probability_of_label=float(probabilities_NC[i, targets_N[i]]),
        )
        for i in worst
    )


def _place(value: str) -> tuple[int, str]:
    """Sort by name, but resolutions by size."""
    names = [*RESOLUTIONS.values(), FINEST]
    return (names.index(value) if value in names else -1, value)


def _resolution(side_N: np.ndarray) -> np.ndarray:
    names = np.array([*RESOLUTIONS.values(), FINEST])
    bins = names[np.digitize(side_N, list(RESOLUTIONS))]
    return np.where(side_N > 0, bins, "")


def _thinned(n: int) -> np.ndarray:
    return np.unique(np.linspace(0, n - 1, min(n, POINTS)).round().astype(int))
