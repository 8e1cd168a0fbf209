"""Compare the models of a study that has been read: which module computes what, and in what order."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mpox.data.manifest import reasons
from mpox.data.small_folds import small_folds
from mpox.errors import UserError
from mpox.stats import breakdown, paired_tests
from mpox.stats.comparison import UNTESTED, Comparison, DatasetComparison, DataSummary, External
from mpox.stats.intervals import resampling_weights
from mpox.stats.metrics import METRICS, weighted_metrics
from mpox.stats.model_result import ModelResult
from mpox.study import sentences
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.costs import costs
from mpox.study.description import describe
from mpox.study.external_results import read_external
from mpox.study.pairs import compare_pairs
from mpox.study.results import ModelRuns, StudyResults
from mpox.study.scored import Scored


def compare(
    results: StudyResults,
    options: ComparisonOptions,
    *,
    exports: Path,
    cache: Path,
    others: Mapping[str, StudyResults] | None = None,
) -> Comparison:
    """Compare the models of a study.

    `exports` is the folder of exported models, `cache` where counted costs are kept, `others` further studies (other
    data sets) for ranks over data sets. Raises UserError where `options.metric` is not defined for the study.
    """
    if METRICS[options.metric].needs_positive and results.positive is None:
        raise UserError(f"metric={options.metric} needs a class that means mpox, which this study does not have")
    _check_subgroups(results, options)
    draws = resampling_weights(results.codes, options.resamples, options.seed)
    by_fold = np.equal.outer(np.arange(len(results.folds)), results.fold_index).astype("float32")
    weights = np.concatenate([np.ones((1, len(results.targets)), "float32"), by_fold, draws])
    scored = [
        Scored(runs, weighted_metrics(runs.logits, results.targets, weights, results.positive), len(results.folds))
        for runs in results.models
    ]
    scored.sort(key=lambda one: (-round(one.mean(options.metric), 9), one.runs.name))
    pairs = compare_pairs(scored, results, options)
    subgroups = breakdown.subgroup_labels(results.photos, options.subgroups)
    models = tuple(
        describe(
            one,
            rank,
            results,
            options,
            pairs=pairs,
            subgroups=subgroups,
            costs=costs(one.runs, results, exports, cache),
        )
        for rank, one in enumerate(scored, 1)
    )
    datasets, datasets_note = _datasets(results, others or {}, options)
    external = read_external(results, options)
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
        completeness=results.jobs,
        data=_data(results),
        models=models,
        pairs=pairs,
        external=external,
        datasets=datasets,
        datasets_note=datasets_note,
        choice=None,
        headline="",
        conclusion=(),
        warnings=(*results.warnings, *_warnings(results, models), *_not_outside(models, external)),
        cautions=(),
        config=results.config,
        versions=results.versions,
    )
    return sentences.with_sentences(comparison)


def _check_subgroups(results: StudyResults, options: ComparisonOptions) -> None:
    """Raise UserError for a column that the manifest lacks, unless it is one of the default, which not all have."""
    known = {*results.photos.columns, *ComparisonOptions.subgroups}
    if unknown := [name for name in options.subgroups if name not in known]:
        raise UserError(
            f"subgroups={unknown[0]}: the manifest of study {results.name} has no such column (it has: "
            f"{', '.join(map(str, results.photos.columns))})"
        )


def _data(results: StudyResults) -> DataSummary:
    manifest, photos = results.manifest, results.photos
    out = manifest[~manifest["keep"]]
    counts = reasons(out).value_counts()
    subjects = photos.loc[photos["subject"] != "", ["source", "subject"]]
    return DataSummary(
        n_manifest=len(manifest),
        n_left_out=len(out),
        left_out={str(reason): int(count) for reason, count in counts.items()},
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
    found += small_folds(photos["label"], photos["group"], photos["fold"], results.folds)
    if photos["group"].nunique() == len(photos):
        found.append(
            "every photo is a group of its own: where several show one subject, figures are too good and intervals too "
            "narrow"
        )
    if len(models) == 1:
        found.append("there is one model only: nothing to compare it with")
    elif len(results.folds) < 2:
        found.append("there is one fold only: no test over folds can be made")
    elif models[1].verdict == UNTESTED:
        found.append(f"{models[1].name} is not tested against the best: {models[1].words}")
    if results.positive is None:
        found.append("no class means mpox: figures of mpox against the rest are left out")
    return found


def _not_outside(models: Sequence[ModelResult], external: Sequence[External]) -> list[str]:
    """Name the models that stand in the table of a collection from elsewhere only by being absent."""
    there = {name: {one.model for one in external if one.name == name} for name in {one.name for one in external}}
    return [
        f"{', '.join(absent)} {'has' if len(absent) == 1 else 'have'} no figures on the photos of {name}: "
        "mpox.evaluate has not scored them"
        for name, known in sorted(there.items())
        if (absent := [model.name for model in models if model.name not in known])
    ]


def _datasets(
    results: StudyResults, others: Mapping[str, StudyResults], options: ComparisonOptions
) -> tuple[DatasetComparison | None, str]:
    """Compare ranks over data sets where there are enough; else give the reason why not."""
    studies = {results.name: results, **others}
    why = (
        "No critical-difference diagram: Friedman's and Nemenyi's tests rank models over independent data sets. The "
        "folds of one data set share their training photos, so that they cannot replace data sets."
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
    title = METRICS[options.metric].title
    note = f"Ranks by mean {title} over the folds of each of {len(studies)} data sets (Demšar 2006)."
    return DatasetComparison(tuple(studies), *dataclasses.astuple(ranks)), note


def _mean_over_folds(study: StudyResults, runs: ModelRuns, metric: str) -> float:
    by_fold = np.equal.outer(np.arange(len(study.folds)), study.fold_index).astype("float32")
    return float(np.nanmean(weighted_metrics(runs.logits, study.targets, by_fold, study.positive)[metric]))
