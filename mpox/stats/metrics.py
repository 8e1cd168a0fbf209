"""The figures of merit, each named so that it can mean one thing only: one table that everything reads.

A metric is one entry of METRICS. Its figures of a run, of a fold, of all photos and of each resample come from the same
function; ranking, sentences, tables, the page and W&B take its name and title from here. One that is not defined (a
class without photos, answers of one class only) is NaN in arrays and None in results, never a made-up zero.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpox.stats.auroc import auroc_interval
from mpox.stats.intervals import Interval, mean_proportion, percentile_interval
from mpox.stats.pooled import Weighted, calibration_error, matthews, mean_defined, softmax

Metrics = dict[str, float | int | None]
# From the number of classes and the mpox class: those whose AUROC, each against the rest, a metric is the mean of.
Ranked = Callable[[int, int], Sequence[int]]
# From answers (N), targets (N), the mpox class: hits (bool, N) and the stratum of each photo (int, N; -1: not counted).
Shares = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Metric:
    """One figure of merit.

    name: its key in files and options. title: its name in words. of: its value under each weighting (R). better: which
    way is better. needs_positive: it is of mpox against the rest. ranks: models may be ranked by it. shares: what it is
    a mean of shares of, for a metric that is one, which gives it Wilson's interval; `ranked`: the classes of a mean
    AUROC, which gives it that of `mpox.stats.auroc`; others have the bootstrap's, where `resampled`. in_run: it is in
    the closing table of a run. key: it is in the narrow tables of a study, too.
    over_classes: it is a mean over the classes, and another figure where one of them has no photos.
    """

    name: str
    title: str
    of: Callable[[Weighted], np.ndarray]
    better: str = "higher"
    needs_positive: bool = False
    ranks: bool = True
    shares: Shares | None = None
    ranked: Ranked | None = None
    resampled: bool = True
    in_run: bool = False
    key: bool = False
    over_classes: bool = False

    @property
    def method(self) -> str:
        """How its interval is made: wilson, logit, bootstrap or none."""
        if self.shares:
            return "wilson"
        return "logit" if self.ranked else "bootstrap" if self.resampled else "none"

    def interval(
        self,
        value: float | None,
        draws_R: np.ndarray,
        logits_KNC: np.ndarray,
        targets_N: np.ndarray,
        codes_N: np.ndarray,
        positive: int | None,
        confidence: float,
    ) -> Interval:
        """Return the figure `value` with its interval: of K networks' logits (K, N, C), the mean of their figures.

        `draws_R` are the figures of resamples, `codes_N` the photos' groups.
        """
        mpox = -1 if positive is None else positive
        if self.shares is not None:
            each = [self.shares(logits.argmax(1), targets_N, mpox) for logits in logits_KNC]
            counted = each[0][1] >= 0
            hits = np.mean([hits for hits, _ in each], axis=0)
            return mean_proportion(hits[counted], each[0][1][counted], codes_N[counted], confidence)
        if self.ranked is not None:
            scores, classes = np.stack([softmax(one) for one in logits_KNC]), self.ranked(logits_KNC.shape[2], mpox)
            return auroc_interval(value, scores, targets_N, classes, codes_N, confidence)
        if not self.resampled:
            finite = value is not None and np.isfinite(value)
            return Interval(value if finite else None, None, None, len(targets_N))
        return percentile_interval(value, draws_R, len(targets_N), confidence)


def _mpox(figures_RC: np.ndarray, weighted: Weighted) -> np.ndarray:
    assert weighted.positive is not None
    return np.asarray(figures_RC[:, weighted.positive])


def _squared_error(weighted: Weighted) -> np.ndarray:
    one_hot = np.eye(weighted.logits.shape[1])[weighted.targets]
    return np.asarray(np.square(weighted.probabilities - one_hot).sum(1))


# In reading order; those of mpox last.
_ALL = (
    Metric(
        "accuracy",
        "accuracy",
        lambda w: w.hits.sum(1) / w.total,
        shares=lambda answers, targets, _: (answers == targets, np.zeros(len(targets), int)),
        in_run=True,
    ),
    Metric(  # the mean recall over the classes present
        "balanced_accuracy",
        "balanced accuracy",
        lambda w: mean_defined(w.recall),
        shares=lambda answers, targets, _: (answers == targets, targets),
        in_run=True,
        over_classes=True,
    ),
    # over the classes present or answered
    Metric("f1_macro", "macro F1", lambda w: mean_defined(w.f1), in_run=True, over_classes=True),
    Metric("mcc", "Matthews correlation", matthews, in_run=True),
    # one class against the rest, mean over the classes present
    Metric(
        "auroc",
        "AUROC, mean over classes",
        lambda w: mean_defined(w.ranking[0]),
        ranked=lambda n_classes, _: range(n_classes),
        in_run=True,
        key=True,
        over_classes=True,
    ),
    Metric("average_precision", "average precision", lambda w: mean_defined(w.ranking[1]), over_classes=True),
    Metric("nll", "NLL", lambda w: w.mean(w.surprise()), better="lower", ranks=False, in_run=True),
    Metric("brier", "Brier score", lambda w: w.mean(_squared_error(w)), better="lower", ranks=False),  # 0..2
    # A resample repeats photos, which raises its calibration error: the draws are biased, not centred on the figure.
    Metric("ece", "ECE", calibration_error, better="lower", ranks=False, resampled=False, in_run=True),
    # at the most probable class
    Metric(
        "sensitivity",
        "sensitivity",
        lambda w: _mpox(w.recall, w),
        needs_positive=True,
        ranks=False,
        shares=lambda answers, targets, mpox: (answers == mpox, np.where(targets == mpox, 0, -1)),
        in_run=True,
        key=True,
    ),
    Metric(
        "specificity",
        "specificity",
        lambda w: _mpox(w.specificity, w),
        needs_positive=True,
        ranks=False,
        shares=lambda answers, targets, mpox: (answers != mpox, np.where(targets != mpox, 0, -1)),
        in_run=True,
        key=True,
    ),
    Metric(
        "auroc_mpox",
        "AUROC of mpox",
        lambda w: _mpox(w.ranking[0], w),
        needs_positive=True,
        ranked=lambda _, mpox: (mpox,),
    ),
)
METRICS = {metric.name: metric for metric in _ALL}


def defined_metrics(positive: int | None) -> dict[str, Metric]:
    """Return the metrics that a task with this mpox class (None: without one) has, in reading order."""
    return {name: one for name, one in METRICS.items() if positive is not None or not one.needs_positive}


def key_metrics(first: str) -> list[str]:
    """Return the names that a narrow table shows: `first`, then those that are in every one."""
    return list(dict.fromkeys([first, *(name for name, one in METRICS.items() if one.key)]))


def weighted_metrics(
    logits_NC: np.ndarray, targets_N: np.ndarray, weights_RN: np.ndarray, positive: int | None
) -> dict[str, np.ndarray]:
    """Return each metric (float64, R) under R weightings; NaN where a weighting leaves it undefined.

    Arguments as the fields of `Weighted`. Further keys: auroc/<k> and average_precision/<k> of each class k.
    """
    weighted = Weighted(logits_NC, targets_N, weights_RN, positive)
    found = {name: metric.of(weighted) for name, metric in defined_metrics(positive).items()}
    for k in range(logits_NC.shape[1]):
        found |= {f"auroc/{k}": weighted.ranking[0][:, k], f"average_precision/{k}": weighted.ranking[1][:, k]}
    return found


def classification_metrics(
    logits_NC: npt.ArrayLike, targets_N: npt.ArrayLike, classes: Sequence[str], positive: int | None
) -> Metrics:
    """Score N photos: n, every metric, and recall/<class>, precision/<class>, specificity/<class>.

    logits float (N, C), targets int64 (N) in 0..C-1, `positive` the index of the mpox class. Raises ValueError for
    logits that are not finite or shapes that do not match.
    """
    logits, targets = np.asarray(logits_NC, "float64"), np.asarray(targets_N, "int64")
    if logits.shape != (len(targets), len(classes)):
        raise ValueError(f"logits {logits.shape} do not fit {len(targets)} photos of {len(classes)} classes")
    if not np.isfinite(logits).all():
        raise ValueError("logits hold NaN or infinity")
    weighted = Weighted(logits, targets, np.ones((1, len(targets)), "float32"), positive)
    figures = {name: metric.of(weighted)[0] for name, metric in defined_metrics(positive).items()}
    for name in ("recall", "precision", "specificity"):
        values = getattr(weighted, name)[0]
        figures |= {f"{name}/{label}": value for label, value in zip(classes, values, strict=True)}
    return {"n": len(targets)} | {name: float(x) if np.isfinite(x) else None for name, x in figures.items()}
