"""Every metric under many weightings of the same photos at once: a fold, all of them, thousands of resamples.

A weighting is a row of whole numbers, one a photo. Each metric is a function of weighted sums, so that one matrix
product replaces a loop over resamples. The metrics are those of `mpox.stats.metrics`, which defines them.
"""

from collections.abc import Iterator

import numpy as np

from mpox.stats.metrics import ECE_BINS

# Bytes of the largest array of comparisons between photos that is held at once.
BLOCK_BYTES = 200_000_000


def softmax(logits_NC: np.ndarray, temperature: float | np.ndarray = 1.0) -> np.ndarray:
    """Return probabilities (N, C) float64 of logits divided by `temperature` (a number, or (N, 1))."""
    scaled = logits_NC.astype("float64") / temperature
    exponentials = np.exp(scaled - scaled.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def weighted_metrics(
    logits_NC: np.ndarray,
    targets_N: np.ndarray,
    weights_RN: np.ndarray,
    positive: int | None,
) -> dict[str, np.ndarray]:
    """Return each metric (float64, R) under R weightings; NaN where a weighting leaves it undefined.

    logits float (N, C), finite; targets int64 (N); weights float32 (R, N), whole numbers >= 0. Keys: METRICS of
    `mpox.stats.comparison`, those of mpox only with `positive`; auroc/<k> and average_precision/<k> of each class k.
    """
    n, n_classes = logits_NC.shape
    probabilities = softmax(logits_NC)
    answers = probabilities.argmax(1)
    rows = np.arange(n)
    counts = weighted_confusion(answers, targets_N, weights_RN, n_classes)
    total = counts.sum((1, 2))
    hit = np.einsum("rkk->rk", counts)
    of_class, answered = counts.sum(2), counts.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hit / of_class
        specificity = 1 - (answered - hit) / (total[:, None] - of_class)
        ranking = [_ranking(probabilities[:, k], targets_N == k, weights_RN) for k in range(n_classes)]
        log_likelihood = np.log(np.maximum(probabilities[rows, targets_N], np.finfo(float).tiny))
        squares = np.square(probabilities - np.eye(n_classes)[targets_N]).sum(1)
        metrics = {
            "accuracy": hit.sum(1) / total,
            "balanced_accuracy": balanced_accuracy(counts),
            "f1_macro": _mean(2 * hit / (of_class + answered)),
            "mcc": _matthews(hit.sum(1), of_class, answered, total),
            "auroc": _mean(np.stack([auroc for auroc, _ in ranking], 1)),
            "average_precision": _mean(np.stack([precision for _, precision in ranking], 1)),
            "nll": -(weights_RN @ log_likelihood) / total,
            "brier": (weights_RN @ squares) / total,
            "ece": _calibration_error(probabilities.max(1), answers == targets_N, weights_RN) / total,
        }
        for k, (auroc, average_precision) in enumerate(ranking):
            metrics |= {f"auroc/{k}": auroc, f"average_precision/{k}": average_precision}
        if positive is not None:
            metrics["sensitivity"] = recall[:, positive]
            metrics["specificity"] = specificity[:, positive]
            metrics["auroc_mpox"] = ranking[positive][0]
    return metrics


def weighted_confusion(
    answers_N: np.ndarray,
    targets_N: np.ndarray,
    weights_RN: np.ndarray,
    n_classes: int,
) -> np.ndarray:
    """Return weighted counts (R, C, C) float64: rows are true classes, columns answers."""
    cells = np.zeros((len(targets_N), n_classes**2), "float32")
    cells[np.arange(len(targets_N)), targets_N * n_classes + answers_N] = 1
    return (weights_RN @ cells).astype("float64").reshape(-1, n_classes, n_classes)


def balanced_accuracy(counts_RCC: np.ndarray) -> np.ndarray:
    """Return the mean recall over the classes present (R) of confusion counts (R, C, C)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean(np.einsum("rkk->rk", counts_RCC) / counts_RCC.sum(2))


def _mean(values_RC: np.ndarray) -> np.ndarray:
    """Mean over the classes that are defined; NaN where none is."""
    defined = np.isfinite(values_RC)
    return np.where(defined, values_RC, 0).sum(1) / defined.sum(1)


def _matthews(hits: np.ndarray, of_class: np.ndarray, answered: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Matthews' correlation for many classes (Gorodkin 2004); 0 where either side knows one class only."""
    covariance = hits * total - (of_class * answered).sum(1)
    spread = (total**2 - np.square(answered).sum(1)) * (total**2 - np.square(of_class).sum(1))
    return np.where(spread > 0, covariance / np.sqrt(np.maximum(spread, 1)), 0.0)


def _ranking(scores: np.ndarray, is_class: np.ndarray, weights_RN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return AUROC (Mann-Whitney, ties count half) and average precision of one class against the rest, each (R)."""
    inside, outside = scores[is_class], scores[~is_class]
    mine, others = weights_RN[:, is_class], weights_RN[:, ~is_class]
    n_resamples = len(weights_RN)
    wins, precision = np.zeros(n_resamples), np.zeros(n_resamples)
    for part in _blocks(len(inside), len(scores)):
        above = (inside[part, None] > outside).astype("float32")
        above += np.float32(0.5) * (inside[part, None] == outside)
        wins += np.einsum("rp,rp->r", mine[:, part] @ above, others, dtype="float64")
        true = mine @ (inside >= inside[part, None]).T.astype("float32")
        false = others @ (outside >= inside[part, None]).T.astype("float32")
        found = np.divide(true, true + false, out=np.zeros_like(true), where=true > 0)
        precision += np.einsum("rp,rp->r", found, mine[:, part], dtype="float64")
    n_inside, n_outside = mine.sum(1, dtype="float64"), others.sum(1, dtype="float64")
    defined = (n_inside > 0) & (n_outside > 0)
    auroc = np.where(defined, wins / (n_inside * n_outside), np.nan)
    return auroc, np.where(defined, precision / n_inside, np.nan)


def _blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // (4 * max(1, n_columns)))
    for start in range(0, n_rows, step):
        yield slice(start, start + step)


def _calibration_error(confidence: np.ndarray, hit: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """Sum over bins of equal width of |weighted sum of (confidence - hit)|, (R); a probability of 1 has its own bin."""
    edges = np.linspace(0, 1, ECE_BINS + 1, dtype="float32")
    bins = np.zeros((len(hit), ECE_BINS + 1))
    bins[np.arange(len(hit)), np.searchsorted(edges, confidence, side="right") - 1] = confidence - hit
    return np.abs(weights_RN @ bins).sum(1)
