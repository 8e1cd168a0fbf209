"""Requirements that the model in focus does not meet: shown before its figures."""

from collections.abc import Sequence

from mpox.stats.comparison import Comparison
from mpox.stats.model_result import ModelResult
from mpox.stats.printed import percent, percent_interval

# From this share of sets that hold every class on, the sets do not help the person who decides.
MOST = 0.5


def cautions(comparison: Comparison) -> tuple[str, ...]:
    """Return a sentence for each requirement that the model in focus does not meet; empty where it meets all."""
    focus = comparison.focus
    classes, positive = comparison.classes, comparison.positive
    return (*_target(focus, positive), *_promises(focus, classes, positive), *_sets(focus, len(classes)))


def _target(focus: ModelResult, positive: str | None) -> list[str]:
    point = focus.operating_point
    if point is None or point.sensitivity.value is None:
        return []
    found = point.true_positive + point.false_negative
    if round(point.sensitivity.value, 3) < point.target_sensitivity:
        reach = point.sensitivity.high is not None and point.sensitivity.high >= point.target_sensitivity
        chance = "; they are too few to tell whether that is chance" if reach else ""
        return [
            f"{focus.name} does not reach the sensitivity asked for: {percent(point.target_sensitivity, 0)} asked, "
            f"{percent_interval(point.sensitivity)} of {found} photos of {positive} found at its threshold{chance}"
        ]
    return []


def _promises(focus: ModelResult, classes: Sequence[str], positive: str | None) -> list[str]:
    """What the exported decision rule cannot promise, for lack of photos."""
    rule, found = focus.decision, []
    promised, target = rule.promised_sensitivity, rule.target_sensitivity
    if promised is not None and target is not None and promised < target - 1e-9:
        found.append(
            f"too few groups of photos of {positive} for {percent(target, 0)} sensitivity: the threshold of "
            f"{focus.name} promises {percent(promised)} on new photos"
        )
    lacking = [label for label, limit in zip(classes, rule.quantiles or (), strict=False) if limit >= 1]
    if 0 < len(lacking) < len(classes):  # where it is all of them, the sets are seen to hold them
        found.append(
            f"too few groups of {', '.join(lacking)} for prediction sets of {percent(rule.coverage, 0)} coverage: "
            f"every set of {focus.name} holds {'it' if len(lacking) == 1 else 'them'}"
        )
    return found


def _sets(focus: ModelResult, n_classes: int) -> list[str]:
    every = focus.conformal.sizes[n_classes]
    if every < MOST:
        return []
    share = "every prediction set" if every == 1 else f"{percent(every)} of the prediction sets"
    return [
        f"{share} of {focus.name} holds all {n_classes} classes: it excludes nothing, and leaves those photos to a "
        f"clinician"
    ]
