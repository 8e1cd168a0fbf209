"""What `mpox.evaluate` left of a study on other collections, held against the study's own test folds."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpox.errors import UserError
from mpox.external.mapping import collapse, ensemble
from mpox.files import read_json, read_yaml
from mpox.runs.run_directory import damage
from mpox.stats.comparison import METRICS, External, ExternalScore
from mpox.stats.intervals import Interval, group_codes, percentile_interval, resampling_weights
from mpox.stats.pooled import weighted_confusion, weighted_metrics
from mpox.stats.predictions import PREFIX, read_predictions
from mpox.study.results import ModelRuns, StudyResults

# Entries of the flow of photos that are not reasons for leaving photos out.
NOT_REASONS = ("found", "scored")


def read_external(results: StudyResults, resamples: int, seed: int, confidence: float) -> tuple[External, ...]:
    """Return one External a collection and model, for the models and folds compared.

    Outside, a metric is the mean over the folds' networks, so that it is one network's as inside; its draws resample
    the collection's groups. Draws inside and outside are independent. Raises UserError where a fold has not been scored
    or logits are not finite.
    """
    found = []
    for described in sorted((results.path / "external").glob("*/external.json")):
        facts = read_json(described)
        classes, positive = tuple(facts["classes"]), facts["positive"]
        index = {label: k for k, label in enumerate(classes)}
        k_positive = None if positive is None else index[positive]
        for runs in results.models:
            folder = described.parent / runs.name
            if not folder.is_dir():
                continue
            places = [folder / f"fold-{fold}" for fold in results.folds]
            tables = [_read(place / "predictions.parquet", classes) for place in places]
            for place in places:
                _check_origin(place, facts, results)
            targets = tables[0]["label"].map(index).to_numpy("int64")
            logits = [table[[PREFIX + label for label in classes]].to_numpy("float64") for table in tables]
            codes = group_codes(tables[0]["group"].to_numpy())
            outside = _figures(logits, targets, codes, k_positive, resamples, seed + 1)
            inside = _figures(*_internal(results, runs, classes, k_positive), k_positive, resamples, seed)
            ones = np.ones((1, len(targets)), "float32")
            together = ensemble(np.stack(logits)).argmax(1)
            counts = weighted_confusion(together, targets, ones, len(classes))[0]
            found.append(
                External(
                    name=described.parent.name,
                    model=runs.name,
                    n=len(targets),
                    left_out={key: int(n) for key, n in facts["flow"].items() if key not in NOT_REASONS and n},
                    classes=classes,
                    positive=positive,
                    scores=_scores(inside, outside, len(results.targets), len(targets), confidence),
                    confusion=tuple(tuple(int(count) for count in row) for row in counts),
                )
            )
    return tuple(found)


def _read(path: Path, classes: tuple[str, ...]) -> pd.DataFrame:
    if not path.exists():
        raise UserError(f"{path} is missing: type the same python -m mpox.evaluate command again, which scores it")
    table, own = read_predictions(path)
    if tuple(own) != classes:
        raise UserError(f"{path} has other classes than its external.json: score it again with overwrite=true")
    if not np.isfinite(table[[PREFIX + label for label in classes]].to_numpy()).all():
        raise UserError(f"{path} holds NaN or infinity: score it again with overwrite=true")
    return table.sort_values("photo_id", ignore_index=True)


def _check_origin(place: Path, facts: dict[str, Any], results: StudyResults) -> None:
    """Raise UserError where a fold was scored on other photos than the collection's, or by another study's network."""
    if (place / "predictions.parquet").exists() and (what := damage(place, ("predictions.parquet",))):
        raise UserError(f"{place}: its {what}: score it again with overwrite=true")
    photos = read_yaml(place / "config.yaml", "score it again with overwrite=true").get("photos_sha256")
    if photos != facts.get("photos_sha256", photos):
        raise UserError(
            f"{place} was scored on other photos than its external.json names: score it with overwrite=true"
        )
    splits = read_json(place / "environment.json").get("splits_sha256")
    if splits != results.splits_sha256:
        raise UserError(
            f"{place} was scored by a network of other splits than the study's: score it with overwrite=true"
        )


def _internal(
    results: StudyResults, runs: ModelRuns, classes: tuple[str, ...], positive: int | None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the study's own test logits, targets and groups in the classes that were told apart outside."""
    if classes == results.classes:
        return [runs.logits], results.targets, results.codes
    if results.positive is None or positive is None or len(classes) != 2:
        raise UserError(
            f"external photos of {results.name} were scored in classes the study no longer has: score them again"
        )
    return (
        [collapse(runs.logits, results.positive)],
        (results.targets == results.positive).astype("int64"),
        results.codes,
    )


def _figures(
    logits: list[np.ndarray], targets: np.ndarray, codes: np.ndarray, positive: int | None, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Return each metric, mean over the networks: of all photos first, then of each resample."""
    ones = np.ones((1, len(targets)), "float32")
    weights = np.concatenate([ones, resampling_weights(codes, resamples, seed)])
    each = [weighted_metrics(one, targets, weights, positive) for one in logits]
    return {metric: np.mean([one[metric] for one in each], axis=0) for metric in METRICS if metric in each[0]}


def _scores(
    inside: dict[str, np.ndarray], outside: dict[str, np.ndarray], n_inside: int, n_outside: int, confidence: float
) -> tuple[ExternalScore, ...]:
    def interval(figures: np.ndarray, n: int) -> Interval:
        return percentile_interval(float(figures[0]), figures[1:], n, confidence)

    return tuple(
        ExternalScore(
            metric,
            interval(inside[metric], n_inside),
            interval(outside[metric], n_outside),
            interval(outside[metric] - inside[metric], n_outside),
        )
        for metric in METRICS
        if metric in inside
    )
