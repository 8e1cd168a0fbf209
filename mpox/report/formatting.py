"""Words and numbers of the page, the cards and W&B."""

from markupsafe import Markup, escape

from mpox.stats.comparison import BEST, SAME, WORSE, Comparison
from mpox.stats.metrics import METRICS, key_metrics
from mpox.stats.model_result import ModelResult, Score
from mpox.stats.printed import DASH, number

REASONS = {
    "not kept": "left out by their manifest",
    "not mapped": "of classes left out",
    "exact": "files the study has",
    "perceptual": "pictures the study has",
    "same source": "cut from pictures the study has",
    "same subject": "of people the study has",
    "same group": "of one group with a photo the study has",
}


def breakable(name: str) -> Markup:
    """Return a name for HTML that may be broken behind its underscores, and nowhere else where that is enough."""
    return Markup(escape(name).replace("_", Markup("_<wbr>")))


def metric_name(metric: str) -> str:
    """Return a metric's name in words."""
    return METRICS[metric].title


def verdict_name(verdict: str) -> str:
    """Return a model's verdict in as few words as a table that names the best needs."""
    return {BEST: "ranks first", SAME: "not distinguishable", WORSE: "worse"}.get(verdict, verdict)


def over_folds(score: Score) -> str:
    """Return `mean ± sd` over folds."""
    if score.mean is None:
        return DASH
    return number(score.mean) if score.sd is None else f"{number(score.mean)} ± {number(score.sd)}"


def count(value: float | None, unit: float = 1.0, suffix: str = "") -> str:
    """Return a count in units of `unit` with three significant digits."""
    if value is None:
        return DASH
    number_of = value / unit
    return f"{number_of:.0f}{suffix}" if number_of >= 100 else f"{number_of:.3g}{suffix}"


def duration(seconds: float | None) -> str:
    """Return a time in seconds, minutes or hours, whichever gives a short number."""
    if seconds is None or seconds < 100:
        return count(seconds, 1, " s")
    return count(seconds, 60, " min") if seconds < 6000 else count(seconds, 3600, " h")


def shown_metrics(comparison: Comparison) -> list[str]:
    """Return what tiles and narrow tables of a report show: AUROC of mpox where there is mpox, else of all classes."""
    known = comparison.best.scores
    of_mpox = {"auroc": "auroc_mpox"} if "auroc_mpox" in known and comparison.metric != "auroc" else {}
    return [name for one in key_metrics(comparison.metric) if (name := of_mpox.get(one, one)) in known]


def in_front(comparison: Comparison, count: int) -> list[ModelResult]:
    """Return at most `count` models for a picture: the one that the report is about, then the others by rank."""
    focus = comparison.focus
    return [focus, *(model for model in comparison.models if model.name != focus.name)][:count]


def reason(name: str) -> str:
    """Return why a photo of another collection was not scored, in words."""
    return REASONS.get(name, name)
