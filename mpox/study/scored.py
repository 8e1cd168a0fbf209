"""One model's runs under every weighting at once: all photos pooled, each fold, each resample."""

from dataclasses import dataclass

import numpy as np

from mpox.stats.metrics import Metric
from mpox.stats.model_result import Score
from mpox.study.results import ModelRuns, StudyResults


@dataclass(frozen=True)
class Scored:
    """A model's runs; `figures` are each metric of all photos pooled (first), of each fold, of each resample."""

    runs: ModelRuns
    figures: dict[str, np.ndarray]
    n_folds: int

    def pooled(self, metric: str) -> float | None:
        """Return the figure of all photos."""
        return defined(self.figures[metric][0])

    def folds(self, metric: str) -> np.ndarray:
        """Return the figure of each fold (K), NaN where it is not defined."""
        return self.figures[metric][1 : 1 + self.n_folds]

    def draws(self, metric: str) -> np.ndarray:
        """Return the figure of each resample (R), NaN where it is not defined."""
        return self.figures[metric][1 + self.n_folds :]

    def mean(self, metric: str) -> float:
        """Return the mean over folds; minus infinity where no fold defines it."""
        values = self.folds(metric)
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("-inf")


def defined(value: float) -> float | None:
    """Return the number, or None where it is none."""
    return float(value) if np.isfinite(value) else None


def score(one: Scored, metric: Metric, results: StudyResults, confidence: float) -> Score:
    """Return one metric of a model: over folds, and pooled with the interval that suits it."""
    folds, pooled = one.folds(metric.name), one.pooled(metric.name)
    valid = folds[np.isfinite(folds)]
    interval = metric.interval(
        pooled,
        one.draws(metric.name),
        one.runs.logits[None],
        results.targets,
        results.codes,
        results.positive,
        confidence,
    )
    return Score(
        mean=float(valid.mean()) if len(valid) else None,
        sd=float(valid.std(ddof=1)) if len(valid) > 1 else None,
        folds=tuple(defined(value) for value in folds),
        pooled=pooled,
        low=interval.low,
        high=interval.high,
        method=metric.method,
    )
