"""What a comparison found of one model, as plain values; see `mpox.stats.comparison` for how to read them."""

from dataclasses import dataclass
from typing import Any

from mpox.stats.decision import DecisionRule
from mpox.stats.intervals import Interval


@dataclass(frozen=True)
class Score:
    """One metric of one model: over folds (mean, sd with ddof 1, each fold's value) and pooled with an interval.

    `method`: how the interval was made: `wilson` (shares and means of shares, on the effective sample size),
    `logit` (AUROC), `bootstrap` (over groups) or `none` (ece, which resampling biases).
    """

    mean: float | None
    sd: float | None
    folds: tuple[float | None, ...]
    pooled: float | None
    low: float | None
    high: float | None
    method: str

    @property
    def figure(self) -> float | None:
        """The pooled figure, which the interval is about."""
        return self.pooled


@dataclass(frozen=True)
class ClassScore:
    """One class against the rest, pooled, at the most probable class: Wilson intervals; AUROC with a bootstrap one."""

    label: str
    n: int
    recall: Interval
    precision: Interval
    specificity: Interval
    auroc: Interval


@dataclass(frozen=True)
class Curve:
    """ROC and precision-recall of one class against the rest, pooled, thinned to at most some hundred points.

    fpr/tpr and recall/precision are of equal length each and ascending in fpr and in recall; `prevalence` is the share
    of the class (the precision of chance).
    """

    label: str
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    auroc: float
    average_precision: float
    prevalence: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Photos of one bin of stated probability: mean stated, share that is right with its Wilson interval, count."""

    stated: float
    observed: Interval


@dataclass(frozen=True)
class Calibration:
    """Is 80 % sure right 8 times of 10? Pooled over folds, as the networks are and after temperature scaling.

    `temperatures`: one a fold, fitted on the other folds' held-out photos (Guo et al. 2017). ece: confidence of the
    answer, bins of equal count (adaptive); brier 0..2; nll in nats. Bins are of the answer's probability;
    `bins_positive` of the probability of mpox (empty without such a class), after scaling.
    """

    temperatures: tuple[float, ...]
    ece: float
    ece_scaled: float
    brier: float
    brier_scaled: float
    nll: float
    nll_scaled: float
    bins: tuple[ReliabilityBin, ...]
    bins_scaled: tuple[ReliabilityBin, ...]
    bins_positive: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class PredictiveValue:
    """PPV and NPV where `prevalence` of those photographed have mpox."""

    prevalence: float
    ppv: Interval
    npv: Interval


@dataclass(frozen=True)
class OperatingPoint:
    """Mpox against the rest: a photo is called mpox when its probability reaches the threshold, or is the largest.

    `target_sensitivity`: what the threshold is to reach; `thresholds`: one a fold, fitted on the other folds' held-out
    photos (None: they have no mpox, and the fold's photos are left out); counts and figures are of the test photos,
    pooled.
    """

    target_sensitivity: float
    thresholds: tuple[float | None, ...]
    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int
    sensitivity: Interval
    specificity: Interval
    predictive_values: tuple[PredictiveValue, ...]


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit (true positives a photo, false ones subtracted at the threshold's odds; Vickers & Elkin 2006).

    Equal lengths; at the prevalence of the photos, after temperature scaling. "None" refers no one: 0 throughout.
    """

    thresholds: tuple[float, ...]
    model: tuple[float, ...]
    refer_all: tuple[float, ...]
    prevalence: float


@dataclass(frozen=True)
class CoverageOfClass:
    """Of one class: the share of its photos whose prediction set holds it, and the mean number of classes in a set."""

    label: str
    coverage: Interval
    mean_size: float


@dataclass(frozen=True)
class Conformal:
    """Prediction sets made so that `target` of the photos of each class have it in theirs (Mondrian).

    `coverage` and `mean_size` over all test photos; `sizes[k]`: the share of sets with k classes, k = 0..C.
    """

    target: float
    method: str
    coverage: Interval
    mean_size: float
    sizes: tuple[float, ...]
    per_class: tuple[CoverageOfClass, ...]


@dataclass(frozen=True)
class Referral:
    """Accuracy on the photos answered when the least confident `referred` share goes to a clinician; equal lengths.

    `sensitivity`: of mpox among the answered; None where none is left or there is no such class.
    """

    referred: tuple[float, ...]
    accuracy: tuple[float | None, ...]
    sensitivity: tuple[float | None, ...]


@dataclass(frozen=True)
class Subgroup:
    """Scores of a part of the photos: `column` of the manifest (source, ita_bin, resolution) is `value`.

    At the most probable class; `sensitivity_at_threshold` by the decision rule of each fold. None without mpox.
    """

    column: str
    value: str
    n: int
    accuracy: Interval
    balanced_accuracy: Interval
    sensitivity: Interval | None
    specificity: Interval | None
    sensitivity_at_threshold: Interval | None


@dataclass(frozen=True)
class Costs:
    """What a model costs. Parameters and multiply-adds are counts at `image_size` pixels a side.

    `train_seconds`: mean wall time of a fold's job. The export's figures come from its report; None without one. Its
    latency is of the machine that exported it, whose processor is `export_latency_on`. Its instructions (retired, of
    one photo, Arm64 with 8-bit dot products) and their share of the float32 file's are of any machine; None where
    `mpox.mobile.arm` did not check it.
    """

    parameters: int | None
    macs: int | None
    image_size: int | None
    train_seconds: float | None
    export_name: str | None
    export_size_mb: float | None
    export_latency_ms: float | None
    export_instructions: int | None
    export_instruction_ratio: float | None
    export_latency_on: str | None = None


@dataclass(frozen=True)
class Mistake:
    """A photo answered wrongly: `probability` is that of `predicted`; `path` is relative to the photo root."""

    photo_id: str
    path: str
    fold: int
    label: str
    predicted: str
    probability: float
    probability_of_label: float


@dataclass(frozen=True)
class ModelResult:
    """Everything about one model. `scores` has the keys of METRICS that are defined for the study.

    rank 1 is the highest mean of `Comparison.metric` over folds. `verdict` is BEST, SAME, WORSE or UNTESTED, `words`
    a sentence with the numbers. confusion[i][j]: photos of class i answered as class j, pooled. `mistakes`: the most
    confident first (after temperature scaling), of `mistakes_total`. `config`: how it was trained (resolved).
    """

    name: str
    timm_name: str
    rank: int
    verdict: str
    words: str
    scores: dict[str, Score]
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    curves: tuple[Curve, ...]
    calibration: Calibration
    decision: DecisionRule
    operating_point: OperatingPoint | None
    decision_curve: DecisionCurve | None
    conformal: Conformal
    referral: Referral
    subgroups: tuple[Subgroup, ...]
    costs: Costs
    mistakes: tuple[Mistake, ...]
    mistakes_total: int
    config: dict[str, Any]
