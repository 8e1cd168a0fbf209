"""A study's results on other collections (from `mpox.evaluate`), compared with its own test folds."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpox.errors import UserError
from mpox.external.mapping import absent_classes, collapse, ensemble
from mpox.external.truth import truth_sha256
from mpox.files import read_record, read_yaml
from mpox.runs.run_state import CHECKPOINT, damage, sha256_noted
from mpox.stats.comparison import External, ExternalScore
from mpox.stats.intervals import Interval, difference, group_codes, percentile_interval, resampling_weights
from mpox.stats.metrics import Metric, defined_metrics, weighted_metrics
from mpox.stats.pooled import weighted_confusion
from mpox.stats.predictions import PREFIX, read_predictions
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.external_threshold import at_threshold
from mpox.study.held_out import rule_of_all
from mpox.study.results import ModelRuns, StudyResults

# Entries of the flow of photos that are not reasons for leaving photos out.
NOT_REASONS = ("found", "scored")
AGAIN = "score it again with overwrite=true"


def read_external(results: StudyResults, options: ComparisonOptions) -> tuple[External, ...]:
    """Return one External a collection and model, for the models and folds compared.

    An external metric is the mean over the folds' networks, so that it is one network's, like the internal one; its
    draws resample the collection's groups. Internal and external draws are independent. Raises UserError where a fold
    has not been scored or logits are not finite.
    """
    found = []
    for described in sorted((results.path / "external").glob("*/external.json")):
        facts = read_record(described, AGAIN, classes=list, positive=str | None, flow=dict)
        classes, positive = tuple(facts["classes"]), facts["positive"]
        index = {label: k for k, label in enumerate(classes)}
        k_positive = None if positive is None else index[positive]
        for runs in results.models:
            folder = described.parent / runs.name
            if not folder.is_dir():
                continue
            places = [folder / f"fold-{fold}" for fold in results.folds]
            tables = [_read(place / "predictions.parquet", classes) for place in places]
            for place, table in zip(places, tables, strict=True):
                _check_origin(place, table, facts, results)
            targets = tables[0]["label"].map(index).to_numpy("int64")
            logits = [table[[PREFIX + label for label in classes]].to_numpy("float64") for table in tables]
            codes = group_codes(tables[0]["group"].to_numpy())
            rule = rule_of_all(runs, results, options)
            external = _Scored(logits, targets, codes, k_positive, options.resamples, options.seed + 1)
            internal = _Scored(
                *_internal(results, runs, classes, k_positive), k_positive, options.resamples, options.seed
            )
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
                    absent=absent_classes(classes, tables[0]["label"]),
                    positive=positive,
                    scores=_scores(internal, external, options.confidence),
                    at_threshold=at_threshold(
                        tables, [rule] * len(tables), results.classes, positive, options.confidence
                    ),
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


def _check_origin(place: Path, table: pd.DataFrame, facts: dict[str, Any], results: StudyResults) -> None:
    """Raise UserError where a fold was scored on other photos or labels than the collection's, or by another network.

    What an earlier version did not note is not compared.
    """
    if (place / "predictions.parquet").exists() and (what := damage(place, ("predictions.parquet",))):
        raise UserError(f"{place}: its {what}: {AGAIN}")
    scored = read_yaml(place / "config.yaml", AGAIN)
    photos = scored.get("photos_sha256")
    if photos != facts.get("photos_sha256", photos):
        raise UserError(
            f"{place} was scored on other photos than its external.json names: score it with overwrite=true"
        )
    if facts.get("truth_sha256") not in (None, truth_sha256(table)):
        raise UserError(
            f"{place} was scored with other labels or groups than its external.json names: score it with overwrite=true"
        )
    splits = read_record(place / "environment.json", AGAIN).get("splits_sha256")
    if splits != results.splits_sha256:
        raise UserError(
            f"{place} was scored by a network of other splits than the study's: score it with overwrite=true"
        )
    network = sha256_noted(results.path / place.parent.name / place.name, CHECKPOINT)
    if network is not None and scored.get("checkpoint_sha256") not in (None, network):
        raise UserError(f"{place} was scored by a network that was trained again since: score it with overwrite=true")


def _internal(
    results: StudyResults, runs: ModelRuns, classes: tuple[str, ...], positive: int | None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the study's own test logits, targets and groups in the classes of the external photos."""
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


@dataclass(frozen=True)
class _Scored:
    """Networks' logits (N, C) of the same photos, and how often their groups are drawn."""

    logits: list[np.ndarray]
    targets: np.ndarray
    codes: np.ndarray
    positive: int | None
    resamples: int
    seed: int

    @cached_property
    def figures(self) -> dict[str, np.ndarray]:
        """Each metric, mean over the networks: of all photos first, then of each resample."""
        ones = np.ones((1, len(self.targets)), "float32")
        weights = np.concatenate([ones, resampling_weights(self.codes, self.resamples, self.seed)])
        each = [weighted_metrics(one, self.targets, weights, self.positive) for one in self.logits]
        return {name: np.mean([one[name] for one in each], axis=0) for name in defined_metrics(self.positive)}

    def interval(self, metric: Metric, confidence: float) -> Interval:
        """Return a metric of all photos with its interval."""
        figures = self.figures[metric.name]
        logits = np.stack(self.logits)
        return metric.interval(
            float(figures[0]), figures[1:], logits, self.targets, self.codes, self.positive, confidence
        )


def _scores(internal: _Scored, external: _Scored, confidence: float) -> tuple[ExternalScore, ...]:
    found = []
    whole = len(np.unique(external.targets)) == external.logits[0].shape[1]
    for name, metric in defined_metrics(internal.positive).items():
        if metric.over_classes and not whole:
            continue
        own, other = internal.interval(metric, confidence), external.interval(metric, confidence)
        change = difference(other, own)
        if metric.method == "bootstrap" and change.low is not None:
            drawn = external.figures[name] - internal.figures[name]
            change = percentile_interval(change.value, drawn[1:], len(external.targets), confidence)
        found.append(ExternalScore(name, own, other, change))
    return tuple(found)
