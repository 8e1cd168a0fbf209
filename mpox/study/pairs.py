"""Every pair of models tested: on the folds, and on the pooled answers."""

import dataclasses
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from mpox.stats import paired_tests
from mpox.stats.comparison import Pair
from mpox.stats.intervals import Interval, percentile_interval
from mpox.study import sentences
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.results import StudyResults
from mpox.study.scored import Scored


def compare_pairs(scored: Sequence[Scored], results: StudyResults, options: ComparisonOptions) -> tuple[Pair, ...]:
    """Test every pair of `scored` (in rank order), the one ranked higher first; corrections are over all pairs."""
    found = [_pair(first, second, results, options) for first, second in combinations(scored, 2)]
    corrected = iter(paired_tests.holm([pair.p for pair in found if pair.p is not None]))
    corrected_mcnemar = paired_tests.holm([pair.mcnemar_p for pair in found])
    pairs = []
    for pair, mcnemar_p in zip(found, corrected_mcnemar, strict=True):
        p = None if pair.p is None else next(corrected)
        whole = dataclasses.replace(pair, p_holm=p, mcnemar_p_holm=mcnemar_p)
        words = sentences.pair(whole, options.metric, options.confidence)
        pairs.append(dataclasses.replace(whole, words=words))
    return tuple(pairs)


def _pair(first: Scored, second: Scored, results: StudyResults, options: ComparisonOptions) -> Pair:
    """Test one pair, not corrected yet and without words."""
    metric, n = options.metric, len(results.targets)
    a, b = first.folds(metric), second.folds(metric)
    both = np.isfinite(a) & np.isfinite(b)
    apart, test = first.draws(metric) - second.draws(metric), None
    if both.sum() > 1:
        drawn = float(np.nanstd(apart)) if np.isfinite(apart).any() else 0.0
        test = paired_tests.fold_difference(a[both], b[both], results.test_to_train, least_se=drawn)
    low, high = test.interval(options.confidence) if test else (None, None)
    better, same, worse = test.probabilities(options.rope) if test else (None, None, None)
    right = [one.runs.logits.argmax(1) == results.targets for one in (first, second)]
    only_first, only_second, mcnemar_p = paired_tests.mcnemar_exact(*right)
    values = [first.pooled(metric), second.pooled(metric)]
    pooled = None if None in values else float(values[0]) - float(values[1])  # type: ignore[arg-type]
    return Pair(
        first=first.runs.name,
        second=second.runs.name,
        difference=Interval(float((a - b)[both].mean()) if both.sum() > 1 else None, low, high, n),
        t=test.t if test else None,
        p=test.p if test else None,
        p_holm=None,
        p_first_better=better,
        p_same=same,
        p_second_better=worse,
        only_first_right=only_first,
        only_second_right=only_second,
        mcnemar_p=mcnemar_p,
        mcnemar_p_holm=mcnemar_p,
        pooled_difference=percentile_interval(pooled, apart, n, options.confidence),
        words="",
    )
