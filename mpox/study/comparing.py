"""From a study that has been read to the whole comparison: every statistic is called here, and nothing is drawn."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mpox.errors import UserError
from mpox.evaluate import breakdown, conformal, operating_point, paired_tests
from mpox.evaluate.calibration import calibration, fit_temperature
from mpox.evaluate.comparison import (
    METRICS,
    UNTESTED,
    Comparison,
    DatasetComparison,
    DataSummary,
    Interval,
    ModelResult,
    Pair,
    Score,
)
from mpox.evaluate.intervals import percentile_interval, proportion, resampling_weights
from mpox.evaluate.pooled import softmax, weighted_confusion, weighted_metrics
from mpox.study import wording
from mpox.study.costs import costs
from mpox.study.external_results import read_external
from mpox.study.results import ModelRuns, StudyResults

# Metrics of which more is better: what models may be ranked by.
RANKING = ("accuracy", "balanced_accuracy", "f1_macro", "mcc", "auroc", "average_precision", "auroc_mpox")


@dataclass(frozen=True)
class Options:
    """How to compare; `conf/compare.yaml` says what each is and holds the defaults."""

    metric: str = "balanced_accuracy"
    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0
    rope: float = 0.01
    target_sensitivity: float = 0.95
    prevalences: tuple[float, ...] = (0.01, 0.05, 0.2)
    coverage: float = 0.95
    subgroups: tuple[str, ...] = ("source", "ita_bin", "resolution")
    mistakes: int = 24

    def __post_init__(self) -> None:
        if self.metric not in RANKING:
            raise UserError(f"metric={self.metric} cannot rank models: choose one of {', '.join(RANKING)}")
        shares = [(name, getattr(self, name)) for name in ("confidence", "target_sensitivity", "coverage")]
        for name, value in [*shares, *(("prevalences", value) for value in self.prevalences)]:
            if not 0 < value < 1:
                raise UserError(f"{name}={value} must lie between 0 and 1, as 0.95 does")
        if self.resamples < 100:
            raise UserError(f"resamples={self.resamples} gives no usable interval: give 1000 or more")
        if self.rope < 0:
            raise UserError(f"rope={self.rope} is negative: give the difference that does not matter, such as 0.01")


@dataclass(frozen=True)
class _Scored:
    """A model's runs with every metric pooled (first row), by fold and by resample."""

    runs: ModelRuns
    figures: dict[str, np.ndarray]
    n_folds: int

    def pooled(self, metric: str) -> float | None:
        return defined(self.figures[metric][0])

    def folds(self, metric: str) -> np.ndarray:
        return self.figures[metric][1 : 1 + self.n_folds]

    def draws(self, metric: str) -> np.ndarray:
        return self.figures[metric][1 + self.n_folds :]

    def mean(self, metric: str) -> float:
        values = self.folds(metric)
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("-inf")


def defined(value: float) -> float | None:
    """Return the number, or None where it is none."""
    return float(value) if np.isfinite(value) else None


def compare(
    results: StudyResults,
    options: Options,
    *,
    exports: Path,
    cache: Path,
    others: Mapping[str, StudyResults] | None = None,
) -> Comparison:
    """Compare the models of a study.

    `exports` is where exported models lie, `cache` where counted costs are kept, `others` further studies (other data
    sets) for ranks over data sets. Raises UserError where `options.metric` is not defined for the study.
    """
    if options.metric == "auroc_mpox" and results.positive is None:
        raise UserError("metric=auroc_mpox needs a class that means mpox, which this study does not have")
    draws = resampling_weights(results.codes, options.resamples, options.seed)
    by_fold = np.equal.outer(np.arange(len(results.folds)), results.fold_index).astype("float32")
    weights = np.concatenate([np.ones((1, len(results.targets)), "float32"), by_fold, draws])
    scored = [
        _Scored(runs, weighted_metrics(runs.logits, results.targets, weights, results.positive), len(results.folds))
        for runs in results.models
    ]
    scored.sort(key=lambda one: (-one.mean(options.metric), one.runs.name))
    pairs = _pairs(scored, results, options)
    subgroup_labels = breakdown.subgroup_labels(results.photos, options.subgroups)
    models = tuple(
        _model(one, rank, results, options, pairs, draws, subgroup_labels, exports, cache)
        for rank, one in enumerate(scored, 1)
    )
    datasets, datasets_note = _datasets(results, others or {}, options)
    external = read_external(results, options.resamples, options.seed, options.confidence)
    comparison = Comparison(
        study=results.name,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        classes=results.classes,
        positive=None if results.positive is None else results.classes[results.positive],
        metric=options.metric,
        confidence=options.confidence,
        rope=options.rope,
        resamples=options.resamples,
        folds=results.folds,
        n_folds=results.n_folds,
        splits_sha256=results.splits_sha256,
        completeness=results.cells,
        data=_data(results),
        models=models,
        pairs=pairs,
        external=external,
        datasets=datasets,
        datasets_note=datasets_note,
        choice=None,
        headline="",
        conclusion=(),
        warnings=(*results.warnings, *_warnings(results, models)),
        config=results.config,
        versions=results.versions,
    )
    return dataclasses.replace(
        comparison, headline=wording.headline(comparison), conclusion=wording.conclusion(comparison)
    )


def _pairs(scored: Sequence[_Scored], results: StudyResults, options: Options) -> tuple[Pair, ...]:
    """Test every pair of models, those ranked higher first; corrections are over all pairs."""
    metric, confidence = options.metric, options.confidence
    ratio = float(np.mean([test / train for test, train in zip(results.test_sizes, results.train_sizes, strict=True)]))
    right = {one.runs.name: one.runs.logits.argmax(1) == results.targets for one in scored}
    found = []
    for i, first in enumerate(scored):
        for second in scored[i + 1 :]:
            a, b = first.folds(metric), second.folds(metric)
            both = np.isfinite(a) & np.isfinite(b)
            test = paired_tests.fold_difference(a[both], b[both], ratio) if both.sum() > 1 else None
            values = [first.pooled(metric), second.pooled(metric)]
            pooled = None if None in values else float(values[0]) - float(values[1])  # type: ignore[arg-type]
            apart = percentile_interval(
                pooled, first.draws(metric) - second.draws(metric), len(results.targets), confidence
            )
            mcnemar = paired_tests.mcnemar_exact(right[first.runs.name], right[second.runs.name])
            found.append((first.runs.name, second.runs.name, test, apart, mcnemar))
    tested = [test.p for _, _, test, _, _ in found if test is not None]
    corrected = iter(paired_tests.holm(tested))
    corrected_mcnemar = paired_tests.holm([mcnemar[2] for *_, mcnemar in found])
    pairs = []
    for (first_name, second_name, test, apart, mcnemar), mcnemar_p_holm in zip(found, corrected_mcnemar, strict=True):
        low, high = test.interval(confidence) if test else (None, None)
        better, same, worse = test.probabilities(options.rope) if test else (None, None, None)
        pair = Pair(
            first=first_name,
            second=second_name,
            difference=Interval(test.mean if test else None, low, high, len(results.targets)),
            t=defined(test.t) if test else None,
            p=test.p if test else None,
            p_holm=next(corrected) if test else None,
            p_first_better=better,
            p_same=same,
            p_second_better=worse,
            only_first_right=mcnemar[0],
            only_second_right=mcnemar[1],
            mcnemar_p=mcnemar[2],
            mcnemar_p_holm=mcnemar_p_holm,
            pooled_difference=apart,
            words="",
        )
        pairs.append(dataclasses.replace(pair, words=wording.pair(pair, metric, confidence)))
    return tuple(pairs)


def _model(
    one: _Scored,
    rank: int,
    results: StudyResults,
    options: Options,
    pairs: Sequence[Pair],
    draws: np.ndarray,
    subgroup_labels: Mapping[str, np.ndarray],
    exports: Path,
    cache: Path,
) -> ModelResult:
    runs, targets, codes, positive = one.runs, results.targets, results.codes, results.positive
    confidence, n_classes = options.confidence, len(results.classes)
    temperatures = [fit_temperature(*val) for val in runs.val]
    scaled = softmax(runs.logits, np.array(temperatures)[results.fold_index, None])
    answers = runs.logits.argmax(1)
    counts = weighted_confusion(answers, targets, np.ones((1, len(targets)), "float32"), n_classes)[0]
    aurocs = [(float(one.figures[f"auroc/{k}"][0]), one.draws(f"auroc/{k}")) for k in range(n_classes)]
    probabilities = softmax(runs.logits)
    sets = np.concatenate(  # photos are in the order of their folds
        [
            conformal.prediction_sets(softmax(val[0]), val[1], probabilities[results.fold_index == k], options.coverage)
            for k, val in enumerate(runs.val)
        ]
    )
    point = decision = None
    if positive is not None and (targets == positive).any() and (targets != positive).any():
        thresholds = [
            operating_point.choose_threshold(
                softmax(logits, temperature)[:, positive], truth == positive, options.target_sensitivity
            )
            for (logits, truth), temperature in zip(runs.val, temperatures, strict=True)
        ]
        point = operating_point.operating_point(
            *(scaled[:, positive], targets == positive, codes, results.fold_index, thresholds),
            target_sensitivity=options.target_sensitivity,
            prevalences=options.prevalences,
            confidence=confidence,
            seed=options.seed,
        )
        decision = operating_point.decision_curve(scaled[:, positive], targets == positive)
    verdict = wording.verdict(runs.name, rank, pairs, confidence)
    return ModelResult(
        name=runs.name,
        timm_name=str(runs.config["model"]["timm_name"]),
        rank=rank,
        verdict=verdict,
        words=wording.against_best(runs.name, verdict, pairs, options.metric, options.rope, confidence),
        scores={
            metric: _score(one, metric, results, answers, confidence) for metric in METRICS if metric in one.figures
        },
        per_class=breakdown.class_scores(answers, targets, codes, results.classes, aurocs, confidence),
        confusion=tuple(tuple(int(count) for count in row) for row in counts),
        curves=tuple(
            breakdown.curve(
                label, probabilities[:, k], targets == k, aurocs[k][0], float(one.figures[f"average_precision/{k}"][0])
            )
            for k, label in enumerate(results.classes)
            if np.isfinite(aurocs[k][0])
        ),
        calibration=calibration(runs.logits, scaled, targets, codes, temperatures, positive, confidence),
        operating_point=point,
        decision_curve=decision,
        conformal=conformal.describe_sets(
            *(sets, targets, codes, results.classes),
            target=options.coverage,
            confidence=confidence,
        ),
        referral=conformal.referral_curve(scaled, targets, positive),
        subgroups=breakdown.subgroups(answers, targets, codes, draws, subgroup_labels, n_classes, positive, confidence),
        costs=costs(runs, results, exports, cache),
        mistakes=breakdown.mistakes(results.photos, scaled, targets, results.classes, options.mistakes),
        mistakes_total=int((answers != targets).sum()),
        config=runs.config,
    )


def _score(one: _Scored, metric: str, results: StudyResults, answers: np.ndarray, confidence: float) -> Score:
    folds = one.folds(metric)
    valid = folds[np.isfinite(folds)]
    pooled = one.pooled(metric)
    if metric in ("sensitivity", "specificity"):
        sick = results.targets == results.positive
        mine, hit = (
            (sick, answers == results.positive) if metric == "sensitivity" else (~sick, answers != results.positive)
        )
        interval, method = proportion(hit[mine], results.codes[mine], confidence), "wilson"
    elif metric == "ece":
        # A resample repeats photos, which raises its calibration error: the draws lie beside the figure, not around it.
        interval, method = Interval(pooled, None, None, len(answers)), "none"
    else:
        interval, method = percentile_interval(pooled, one.draws(metric), len(answers), confidence), "bootstrap"
    return Score(
        mean=float(valid.mean()) if len(valid) else None,
        sd=float(valid.std(ddof=1)) if len(valid) > 1 else None,
        folds=tuple(defined(value) for value in folds),
        pooled=pooled,
        low=interval.low,
        high=interval.high,
        method=method,
    )


def _data(results: StudyResults) -> DataSummary:
    manifest, photos = results.manifest, results.photos
    out = manifest[~manifest["keep"]]
    reasons = out["reason"].replace("", "no reason given").value_counts()
    subjects = photos.loc[photos["subject"] != "", ["source", "subject"]]
    return DataSummary(
        n_manifest=len(manifest),
        n_left_out=len(out),
        left_out={str(reason): int(count) for reason, count in reasons.items()},
        n_photos=len(photos),
        n_groups=int(photos["group"].nunique()),
        n_subjects=len(subjects.drop_duplicates()),
        per_class={label: int((photos["label"] == label).sum()) for label in results.classes},
        per_source={str(source): int(count) for source, count in photos["source"].value_counts().items()},
        per_fold=results.test_sizes,
        train_size=float(np.mean(results.train_sizes)),
    )


def _warnings(results: StudyResults, models: Sequence[ModelResult]) -> list[str]:
    found = []
    photos = results.photos
    for fold in results.folds:
        present = set(photos.loc[photos["fold"] == fold, "label"])
        if absent := [label for label in results.classes if label not in present]:
            found.append(f"fold {fold} has no {', '.join(absent)} among its test photos: its figures leave it out")
    if photos["group"].nunique() == len(photos):
        found.append(
            "every photo is a group of its own: where several show one subject, figures are too good and intervals too "
            "narrow"
        )
    if len(models) == 1:
        found.append("there is one model only: nothing to compare it with")
    elif models[1].verdict == UNTESTED:
        found.append("fewer than two folds have the metric for every model: no test over folds can be made")
    if results.positive is None:
        found.append("no class means mpox: figures of mpox against the rest are left out")
    return found


def _datasets(
    results: StudyResults, others: Mapping[str, StudyResults], options: Options
) -> tuple[DatasetComparison | None, str]:
    """Compare ranks over data sets where there are enough; else say why not."""
    studies = {results.name: results, **others}
    why = (
        "No critical-difference diagram: Friedman's and Nemenyi's tests rank models over independent data sets. The "
        "folds of one data set share their training photos, so that they cannot stand in for data sets."
    )
    shared = set.intersection(*({runs.name for runs in study.models} for study in studies.values()))
    if len(studies) < paired_tests.MIN_DATASETS or len(shared) < 3:
        need = f"It needs {paired_tests.MIN_DATASETS} studies or more (others=[…]) with three models in common"
        return None, f"{why} {need}; there are {len(studies)} with {len(shared)} in common."
    table = pd.DataFrame(
        {name: {runs.name: _mean_over_folds(study, runs, options.metric) for runs in study.models}
         for name, study in studies.items()}
    ).T[sorted(shared)]  # fmt: skip
    ranks = paired_tests.compare_over_datasets(table, 1 - options.confidence)
    note = f"Ranks by mean {options.metric} over the folds of each of {len(studies)} data sets (Demšar 2006)."
    return DatasetComparison(tuple(studies), *dataclasses.astuple(ranks)), note


def _mean_over_folds(study: StudyResults, runs: ModelRuns, metric: str) -> float:
    by_fold = np.equal.outer(np.arange(len(study.folds)), study.fold_index).astype("float32")
    return float(np.nanmean(weighted_metrics(runs.logits, study.targets, by_fold, study.positive)[metric]))
