"""What a comparison found, as plain values: the one thing that tables, the page, the card and W&B are made from.

Nothing here computes. `mpox.study.comparing.compare` fills it; whoever shows it reads it. None means "not defined" (a
class without photos, one fold only) and is shown as a dash, never as a zero. Figures are fractions, 0 to 1, unless a
field says otherwise. "Pooled" means out of fold: every photo is scored once, by the network that did not train on it.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

# What a model's comparison with the best can end in; the column `versus_best`.
BEST, SAME, WORSE, UNTESTED = "best", "not distinguishable from the best", "worse than the best", "not tested"
# Metrics of the score table in reading order; those of mpox only where the study has such a class.
METRICS = (
    *("accuracy", "balanced_accuracy", "f1_macro", "mcc", "auroc", "average_precision", "nll", "brier", "ece"),
    *("sensitivity", "specificity", "auroc_mpox"),
)


@dataclass(frozen=True)
class Interval:
    """A figure with its interval at `Comparison.confidence`; `n` photos bear on it. Undefined parts are None."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Cell:
    """One model on one fold. `state`: done, missing, running, failed, other splits, not finite, ...; `note` says more.

    `used`: its figures are part of the comparison.
    """

    model: str
    fold: int
    state: str
    note: str
    used: bool


@dataclass(frozen=True)
class DataSummary:
    """The photos: the flow from the manifest to what is scored.

    n_manifest rows; n_left_out of them with keep=false, `left_out` counts by reason; n_photos scored (those of the
    folds compared) in n_groups groups and n_subjects known subjects (0: none known); `per_class`, `per_source`:
    photos scored by task class and collection; `per_fold`: photos scored a fold, in the order of Comparison.folds;
    `train_size`: mean photos a network trained on.
    """

    n_manifest: int
    n_left_out: int
    left_out: dict[str, int]
    n_photos: int
    n_groups: int
    n_subjects: int
    per_class: dict[str, int]
    per_source: dict[str, int]
    per_fold: tuple[int, ...]
    train_size: float


@dataclass(frozen=True)
class Score:
    """One metric of one model: over folds (mean, sd with ddof 1, each fold's value) and pooled with an interval.

    `method`: how the interval was made: `bootstrap` (over groups), `wilson` (effective sample size) or `none` (ece,
    which resampling biases).
    """

    mean: float | None
    sd: float | None
    folds: tuple[float | None, ...]
    pooled: float | None
    low: float | None
    high: float | None
    method: str


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

    `temperatures`: one a fold, fitted on its validation photos (Guo et al. 2017). ece: confidence of the answer, bins
    of equal count (adaptive); brier 0..2; nll in nats. Bins are of the answer's probability; `bins_positive` of the
    probability of mpox (empty without such a class), after scaling.
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
    """Mpox against the rest at a threshold of its probability chosen on each fold's validation photos.

    `target_sensitivity`: what the threshold reaches there; `thresholds`: one a fold (None: that validation fold has
    no mpox, and its test photos are left out); counts and figures are of the test photos, pooled.
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

    Equal lengths; at the prevalence of the photos, after temperature scaling. "None" refers nobody: 0 throughout.
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
    """Prediction sets calibrated on each fold's validation photos so that `target` of all sets hold the truth.

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
    """Scores of a part of the photos: `column` of the manifest (source, ita_bin, resolution) is `value`."""

    column: str
    value: str
    n: int
    accuracy: Interval
    balanced_accuracy: Interval
    sensitivity: Interval | None
    specificity: Interval | None


@dataclass(frozen=True)
class Costs:
    """What a model costs. Parameters and multiply-adds are counts at `image_size` pixels a side.

    `train_seconds`: mean wall time of a fold's job. The phone's figures come from the export report; None without one.
    """

    parameters: int | None
    macs: int | None
    image_size: int | None
    train_seconds: float | None
    export_name: str | None
    export_size_mb: float | None
    export_latency_ms: float | None


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
    operating_point: OperatingPoint | None
    decision_curve: DecisionCurve | None
    conformal: Conformal
    referral: Referral
    subgroups: tuple[Subgroup, ...]
    costs: Costs
    mistakes: tuple[Mistake, ...]
    mistakes_total: int
    config: dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """Two models, `first` ranked above `second`, on `Comparison.metric` unless a field says otherwise.

    difference: mean over folds of first minus second, its interval by the corrected resampled t; t, p: two-sided
    (Nadeau & Bengio 2003); p_holm: corrected over all pairs. Bayesian correlated t (Benavoli et al. 2017):
    probabilities that first is better, that both are the same within `Comparison.rope`, that second is better.
    McNemar on pooled predictions: photos only the first (second) got right, exact p, Holm over all pairs.
    pooled_difference: of pooled figures, paired bootstrap over groups. `words`: the verdict. With one fold only the
    pooled figures are defined.
    """

    first: str
    second: str
    difference: Interval
    t: float | None
    p: float | None
    p_holm: float | None
    p_first_better: float | None
    p_same: float | None
    p_second_better: float | None
    only_first_right: int
    only_second_right: int
    mcnemar_p: float
    mcnemar_p_holm: float
    pooled_difference: Interval
    words: str


@dataclass(frozen=True)
class ExternalScore:
    """One metric inside (pooled out of fold) and outside (mean of the folds' networks), and outside minus inside."""

    metric: str
    internal: Interval
    external: Interval
    change: Interval


@dataclass(frozen=True)
class External:
    """One model on a collection that its study never saw, as `mpox.evaluate` left it.

    n photos scored; `left_out`: those not scored, counts by reason (duplicates of training photos, classes mapped to
    nothing); `classes`: what was told apart there; `positive`: mpox among them; `confusion`: true by answered class of
    the folds' networks together (mean probability).
    """

    name: str
    model: str
    n: int
    left_out: dict[str, int]
    classes: tuple[str, ...]
    positive: str | None
    scores: tuple[ExternalScore, ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class DatasetComparison:
    """Models over several data sets (Demšar 2006); made only where `others` names at least four more studies.

    Friedman's p; mean ranks (1 is best) by model; Nemenyi's critical difference of mean ranks; p of each pair.
    """

    studies: tuple[str, ...]
    friedman_p: float
    mean_ranks: dict[str, float]
    critical_difference: float
    pairs: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Choice:
    """The model `select=best` chose: rule in words, the fold whose checkpoint is taken and why, the next command."""

    model: str
    fold: int
    rule: str
    why: str
    fold_rule: str
    command: str


@dataclass(frozen=True)
class Comparison:
    """The whole result of one study. `models` is in rank order, `pairs` holds every pair.

    metric: what ranks (balanced_accuracy); rope: the difference in it that does not matter; folds: those every model
    is scored on; headline and conclusion: sentences with numbers; datasets_note: why there is (not) a critical
    difference diagram; config: what all runs share; versions: packages and device of the runs.
    """

    study: str
    created: str
    classes: tuple[str, ...]
    positive: str | None
    metric: str
    confidence: float
    rope: float
    resamples: int
    folds: tuple[int, ...]
    n_folds: int
    splits_sha256: str
    completeness: tuple[Cell, ...]
    data: DataSummary
    models: tuple[ModelResult, ...]
    pairs: tuple[Pair, ...]
    external: tuple[External, ...]
    datasets: DatasetComparison | None
    datasets_note: str
    choice: Choice | None
    headline: str
    conclusion: tuple[str, ...]
    warnings: tuple[str, ...]
    config: dict[str, Any]
    versions: dict[str, str | None]

    @property
    def best(self) -> ModelResult:
        """The model of rank 1."""
        return self.models[0]

    def model(self, name: str) -> ModelResult:
        """Return the model of this name. Raises KeyError."""
        return {model.name: model for model in self.models}[name]

    def plain(self) -> dict[str, Any]:
        """Return the tree as dictionaries, lists and plain values, for JSON."""
        return dataclasses.asdict(self)
