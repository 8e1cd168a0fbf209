"""Words and numbers of the page, the cards and W&B."""

from mpox.stats.comparison import Comparison
from mpox.stats.metrics import METRICS
from mpox.stats.model_result import ModelResult, Score
from mpox.stats.printed import DASH, number

REASONS = {
    "not kept": "left out by their manifest",
    "not mapped": "of classes left out",
    "exact": "files the study has",
    "perceptual": "pictures the study has",
    "same source": "cut from pictures the study has",
}


def metric_name(metric: str) -> str:
    """Return a metric's name in words."""
    return METRICS[metric].title


def over_folds(score: Score) -> str:
    """Return `mean ± sd` over folds."""
    if score.mean is None:
        return DASH
    return number(score.mean) if score.sd is None else f"{number(score.mean)} ± {number(score.sd)}"


def count(value: float | None, unit: float = 1.0, suffix: str = "") -> str:
    """Return a count in units of `unit` with three significant digits."""
    return DASH if value is None else f"{value / unit:.3g}{suffix}"


def chosen(comparison: Comparison) -> ModelResult:
    """Return the model that was chosen, or else the one of rank 1."""
    return comparison.model(comparison.choice.model) if comparison.choice else comparison.best


def reason(name: str) -> str:
    """Return why a photo of another collection was not scored, in words."""
    return REASONS.get(name, name)
