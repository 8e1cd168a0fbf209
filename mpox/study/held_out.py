"""The rule from logits to a finding, fitted on photos that the networks of a model were not trained on."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mpox.data.folds import ALL
from mpox.errors import UserError
from mpox.files import read_record, read_yaml
from mpox.runs.run_state import CONFIG, fold_of
from mpox.stats.decision import DecisionRule
from mpox.stats.decision_fit import fit_decision
from mpox.stats.predictions import PREFIX, read_predictions
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.final_network import SHOWN, check_alike, check_final, recipe_changes
from mpox.study.results import ModelRuns, StudyResults, read_study

log = logging.getLogger("mpox")


def rule_of_all(runs: ModelRuns, results: StudyResults, options: ComparisonOptions) -> DecisionRule:
    """Return the rule that leaves the study: fitted on the held-out photos of all folds that are compared."""
    count = f"{len(results.folds)} folds" if len(results.folds) > 1 else "one fold"
    rule = _fit(runs.logits, results.targets, results.codes, results.positive, options, confidence=options.confidence)
    return dataclasses.replace(rule, fitted_on=f"{len(results.targets)} held-out photos of {count}")


def rule_of_run(run: str | Path, options: ComparisonOptions) -> DecisionRule:
    """Return the rule for the network of a run directory.

    It is that of its model in its study, fitted on the held-out photos of all folds; where they are not all done, or
    not by the recipe of this run, on the run's own validation photos, which is a warning. Raises UserError for the
    network of all photos of a study whose folds are not all there, or were trained again since, and for a run without
    validation predictions.
    """
    return rules_of_runs([run], options)[0]


def rules_of_runs(runs: Sequence[str | Path], options: ComparisonOptions) -> list[DecisionRule]:
    """Return `rule_of_run` of each run directory; they are of one model, whose folds are read once."""
    places = [Path(run).resolve() for run in runs]
    study, model = places[0].parents[1], places[0].parent
    final = [Path(run) for run, place in zip(runs, places, strict=True) if fold_of(place) == ALL]
    try:
        results = read_study(study.parent, study.name, models=[model.name])
        check_alike(model)
    except UserError as error:
        if final:
            raise UserError(
                f"{final[0]}: its threshold rests on the held-out photos of all folds, but {error}"
            ) from error
        _warn(str(error))
        return [_rule_of_validation(place, options) for place in places]
    for run in final:
        check_final(run)
    pooled = rule_of_all(results.models[0], results, options)
    return [_rule_of_validation(place, options) if _is_other(place, results.models[0]) else pooled for place in places]


def _is_other(place: Path, folds: ModelRuns) -> bool:
    """Whether a run that is still being written, beside the fold that it replaces, has another recipe; says how."""
    changes = [] if fold_of(place) is not None else recipe_changes(folds.config, read_yaml(place / CONFIG))
    if changes:
        _warn(f"the folds of {folds.name} that are there were trained otherwise ({'; '.join(changes[:SHOWN])})")
    return bool(changes)


def _warn(why: str) -> None:
    log.warning("temperature and threshold are fitted on validation photos of one fold alone: %s", why)


def _rule_of_validation(place: Path, options: ComparisonOptions) -> DecisionRule:
    """Return the rule that a run's own validation photos give."""
    table, classes = read_predictions(place / "predictions.parquet")
    val = table[table["split"] == "val"]
    positive = read_record(place / "metrics.json", positive=str | None)["positive"]
    if val.empty:
        raise UserError(f"{place} has no validation predictions: run the job again")
    rule = _fit(
        val[[f"{PREFIX}{name}" for name in classes]].to_numpy("float64"),
        val["label"].map({name: k for k, name in enumerate(classes)}).to_numpy("int64"),
        val["group"].to_numpy(),
        None if positive is None else list(classes).index(positive),
        options,
        confidence=options.confidence,
    )
    return dataclasses.replace(rule, fitted_on=f"the {len(val)} validation photos of fold {fold_of(place)}")


def rule_without(fold: int, runs: ModelRuns, results: StudyResults, options: ComparisonOptions) -> DecisionRule:
    """Return the rule by which the photos of a fold (its index among those compared) are judged.

    It is fitted on the held-out photos of the other folds; where there is one fold only, on its validation photos.
    """
    others = results.fold_index != fold
    if others.any():
        return _fit(runs.logits[others], results.targets[others], results.codes[others], results.positive, options)
    return _fit(*runs.val[fold], results.positive, options)


def _fit(
    logits: np.ndarray,
    targets: np.ndarray,
    groups: np.ndarray,
    positive: int | None,
    options: ComparisonOptions,
    confidence: float | None = None,
) -> DecisionRule:
    return fit_decision(
        logits,
        targets,
        groups,
        positive,
        target_sensitivity=options.target_sensitivity,
        coverage=options.coverage,
        confidence=confidence,
    )
