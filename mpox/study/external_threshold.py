"""External photos at the threshold that leaves a study, which is fitted on its held-out photos."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mpox.external.scoring import STUDY_PREFIX
from mpox.stats.decision import DecisionRule
from mpox.stats.intervals import Interval, group_codes, proportion
from mpox.stats.predictions import PREFIX


def at_threshold(
    tables: Sequence[pd.DataFrame],
    rules: Sequence[DecisionRule],
    classes: Sequence[str],
    positive: str | None,
    confidence: float,
) -> tuple[Interval, Interval] | None:
    """Return sensitivity and specificity of mpox (`positive`), of several networks the mean, with Wilson's intervals.

    `tables` are predictions of the same photos in the same order, one a network, `rules` theirs; `classes` are those of
    the study, of which the rules are. None without mpox or a threshold, and for predictions that were scored as mpox
    against the rest by an earlier version, which did not keep the logits of the study's classes.
    """
    if positive is None or any(rule.threshold is None for rule in rules):
        return None
    calls = []
    for table, rule in zip(tables, rules, strict=True):
        columns = [f"{STUDY_PREFIX}{name}" for name in classes]
        if columns[0] not in table:
            columns = [f"{PREFIX}{name}" for name in classes]
            if any(name not in table for name in columns):
                return None
        chances = rule.probabilities(table[columns].to_numpy("float64"))
        calls.append(rule.called_positive(chances, list(classes).index(positive)))
    called, sick = np.mean(calls, axis=0), (tables[0]["label"] == positive).to_numpy()
    codes = group_codes(tables[0]["group"].to_numpy())
    found, spared = (
        proportion(called[sick], codes[sick], confidence),
        proportion(1 - called[~sick], codes[~sick], confidence),
    )
    return found, spared
