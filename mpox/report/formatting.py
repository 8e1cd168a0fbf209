"""How figures are written for people, the same wherever they are shown."""

from mpox.stats.comparison import Comparison
from mpox.stats.intervals import Interval
from mpox.stats.model_result import ModelResult, Score

METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "macro F1",
    "mcc": "MCC",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "nll": "NLL",
    "brier": "Brier",
    "ece": "ECE",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auroc_mpox": "AUROC of mpox",
}
DASH = "-"
REASONS = {
    "not kept": "left out by their manifest",
    "not mapped": "of classes left out",
    "exact": "files the study has",
    "perceptual": "pictures the study has",
    "same source": "cut from pictures the study has",
}


def metric_name(metric: str) -> str:
    """Return a metric's name in words."""
    return METRIC_NAMES.get(metric, metric)


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """Return a figure with fixed digits, a dash where it is not defined."""
    if value is None:
        return DASH
    return f"{value:{'+' if signed else ''}.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction in percent, a dash where it is not defined."""
    return DASH if value is None else f"{100 * value:.{digits}f} %"


def interval(value: Interval | Score, digits: int = 3, *, signed: bool = False) -> str:
    """Return `value (low to high)`; of a score, the pooled figure's."""
    middle = value.pooled if isinstance(value, Score) else value.value
    if middle is None:
        return DASH
    if value.low is None or value.high is None:
        return number(middle, digits, signed=signed)
    low, high = number(value.low, digits, signed=signed), number(value.high, digits, signed=signed)
    return f"{number(middle, digits, signed=signed)} ({low} to {high})"


def percent_interval(value: Interval) -> str:
    """Return `value % (low to high)` of a fraction."""
    if value.value is None:
        return DASH
    if value.low is None or value.high is None:
        return percent(value.value)
    return f"{percent(value.value)} ({100 * value.low:.1f} to {100 * value.high:.1f})"


def over_folds(score: Score) -> str:
    """Return `mean ± sd` over folds."""
    if score.mean is None:
        return DASH
    return number(score.mean) if score.sd is None else f"{number(score.mean)} ± {number(score.sd)}"


def p_value(p: float | None) -> str:
    """Return a p-value with three digits, or that it is smaller."""
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(value: float | None, unit: float = 1.0, suffix: str = "") -> str:
    """Return a count in units of `unit` with three significant digits."""
    return DASH if value is None else f"{value / unit:.3g}{suffix}"


def chosen(comparison: Comparison) -> ModelResult:
    """Return the model that was chosen, or else the one of rank 1."""
    return comparison.model(comparison.choice.model) if comparison.choice else comparison.best


def reason(name: str) -> str:
    """Return why a photo of another collection was not scored, in words."""
    return REASONS.get(name, name)
