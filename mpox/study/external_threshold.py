"""External photos at the threshold that leaves a study, which is fitted on its held-out photos."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpox.data.folds import ALL
from mpox.external.mapping import STUDY_PREFIX
from mpox.runs.run_state import fold_of
from mpox.stats.decision import DecisionRule
from mpox.stats.intervals import Interval, group_codes, proportion
from mpox.stats.predictions import PREFIX
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.held_out import rules_of_runs

# What is noted of a rule.
_NOTED = ("temperature", "threshold", "target_sensitivity", "fitted_on")


def networks_at_threshold(
    runs: Sequence[Path], tables: Sequence[pd.DataFrame], classes: Sequence[str], positive: str | None
) -> dict[str, Any]:
    """Return the content of at_threshold.json: of each network of a model (its run directory) by its rule.

    `networks` has by name of the run its rule, and sensitivity and specificity where they are known; `folds` the means
    over the networks of the folds, or None. Arguments as of `at_threshold`; raises UserError as `rules_of_runs`.
    """
    options = ComparisonOptions()
    rules = rules_of_runs(runs, options)

    def of(chosen: Sequence[int]) -> dict[str, Any] | None:
        some = [tables[k] for k in chosen], [rules[k] for k in chosen]
        found = at_threshold(*some, classes, positive, options.confidence)
        return None if found is None else {"sensitivity": asdict(found[0]), "specificity": asdict(found[1])}

    return {
        "confidence": options.confidence,
        "folds": of([k for k, run in enumerate(runs) if fold_of(run) != ALL]),
        "networks": {
            run.name: {**{name: getattr(rules[k], name) for name in _NOTED}, **(of([k]) or {})}
            for k, run in enumerate(runs)
        },
    }


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
