"""Figures of merit from logits and labels, each named so that it can mean one thing only.

All are torchmetrics' own, with the averaging spelled out. A figure that is not defined (a class without photos, one
class only) is None, never a made-up zero.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional import classification as tm

# Bins of the expected calibration error (Guo et al. 2017 use 15), equal in width.
ECE_BINS = 15

Metrics = dict[str, float | int | None]


def classification_metrics(
    logits_NC: Tensor,
    targets_N: Tensor,
    classes: Sequence[str],
    positive: int | None,
) -> Metrics:
    """Score N photos. logits float (N, C), targets int64 (N) in 0..C-1, `positive` the index of the mpox class.

    n; accuracy; balanced_accuracy (mean recall over classes present); f1_macro (over classes present or predicted);
    mcc (None where the photos or the answers are of one class); auroc and average_precision (one against the rest,
    mean over classes present); nll (nats); brier (sum over classes of squared error, 0..2); ece (15 bins, L1);
    recall/<class>, precision/<class>, specificity/<class>; with `positive` sensitivity, specificity and auroc_mpox of
    mpox against the rest at the most probable class.
    Raises ValueError for logits that are not finite or shapes that do not match.
    """
    if logits_NC.shape != (len(targets_N), len(classes)):
        raise ValueError(
            f"logits {tuple(logits_NC.shape)} do not fit {len(targets_N)} photos of {len(classes)} classes"
        )
    if not torch.isfinite(logits_NC).all():
        raise ValueError("logits hold NaN or infinity")
    logits, targets, n_classes = logits_NC.double(), targets_N.long(), len(classes)
    probabilities = logits.softmax(1)
    predictions = probabilities.argmax(1)
    true_positive, false_positive, true_negative, false_negative = _counts(predictions, targets, n_classes)
    recall = _ratio(true_positive, true_positive + false_negative)
    precision = _ratio(true_positive, true_positive + false_positive)
    specificity = _ratio(true_negative, true_negative + false_positive)
    f1 = _ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative)
    ranking = [_ranking(probabilities[:, k], targets == k) for k in range(n_classes)]
    one_hot = F.one_hot(targets, n_classes)
    several = min(len(targets.unique()), len(predictions.unique())) > 1
    metrics: Metrics = {
        "n": len(targets),
        "accuracy": _mean([float(hit) for hit in predictions == targets]),
        "balanced_accuracy": _mean(recall),
        "f1_macro": _mean(f1),
        "mcc": tm.multiclass_matthews_corrcoef(predictions, targets, n_classes).item() if several else None,
        "auroc": _mean([auroc for auroc, _ in ranking]),
        "average_precision": _mean([precision for _, precision in ranking]),
        "nll": F.cross_entropy(logits, targets).item(),
        "brier": (probabilities - one_hot).square().sum(1).mean().item(),
        "ece": tm.multiclass_calibration_error(probabilities, targets, n_classes, n_bins=ECE_BINS, norm="l1").item(),
    }
    for name, values in (("recall", recall), ("precision", precision), ("specificity", specificity)):
        metrics |= {f"{name}/{label}": value for label, value in zip(classes, values, strict=True)}
    if positive is not None:
        metrics["sensitivity"] = recall[positive]
        metrics["specificity"] = specificity[positive]
        metrics["auroc_mpox"] = ranking[positive][0]
    return metrics


def confusion_matrix(predictions_N: Tensor, targets_N: Tensor, n_classes: int) -> Tensor:
    """Return counts (C, C) int64: rows are true classes, columns predicted ones."""
    return tm.multiclass_confusion_matrix(predictions_N, targets_N, n_classes)


def _counts(predictions: Tensor, targets: Tensor, n_classes: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    scores = tm.multiclass_stat_scores(predictions, targets, n_classes, average=None)
    true_positive, false_positive, true_negative, false_negative = scores.double().unbind(1)[:4]
    return true_positive, false_positive, true_negative, false_negative


def _ratio(numerator: Tensor, denominator: Tensor) -> list[float | None]:
    pairs = zip(numerator.tolist(), denominator.tolist(), strict=True)
    return [above / below if below else None for above, below in pairs]


def _ranking(scores: Tensor, is_class: Tensor) -> tuple[float | None, float | None]:
    """Return AUROC and average precision of one class against the rest; None where one side has no photo."""
    if is_class.all() or not is_class.any():
        return None, None
    labels = is_class.long()
    return tm.binary_auroc(scores, labels).item(), tm.binary_average_precision(scores, labels).item()


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
