"""What is said of all cases from those that clinicians checked: simulated fields whose truth is known."""

import datetime
from collections.abc import Sequence

import numpy as np
import pytest

from mpox.field.answers import Answer
from mpox.field.counts import Case, Day, PhoneCounts
from mpox.field.evidence import Evidence
from mpox.field.report import FieldReport, field_report
from mpox.stats.decision import OUTCOMES, DecisionRule
from mpox.stats.decision_fit import threshold_for
from mpox.stats.intervals import Interval, proportion

RULE = DecisionRule(1.0, 0.2, (0.8, 0.8), promised_sensitivity=0.95, target_sensitivity=0.95, coverage=0.95)
HELD_OUT = np.repeat(np.arange(4), (50, 20, 10, 120))
# Outcomes of mpox, called in .95, and of the others.
SICK, WELL = (0.80, 0.15, 0.035, 0.015), (0.08, 0.12, 0.15, 0.65)
# Probabilities of mpox are even between these, by outcome.
FROM, TO = np.array([0.5, 0.2, 0.08, 0.0]), np.array([1.0, 0.5, 0.2, 0.15])
Part = tuple[np.ndarray, np.ndarray, np.ndarray]


def by_outcome(outcomes: np.ndarray) -> dict[str, int]:
    return dict(zip(OUTCOMES, map(int, np.bincount(outcomes, minlength=4)), strict=True))


def phone(outcomes: np.ndarray, sick: np.ndarray, seen: np.ndarray, chances: np.ndarray | None = None) -> PhoneCounts:
    """A phone's counts: `seen` cases have an answer."""
    chances = np.full(len(outcomes), 0.5) if chances is None else chances
    cases = [
        Case(OUTCOMES[outcome], float(chance), "mpox" if ill else "other")
        for outcome, ill, chance in zip(outcomes[seen], sick[seen], chances[seen], strict=True)
    ]
    day = Day(datetime.date(2026, 1, 1), len(outcomes), {}, by_outcome(outcomes), by_outcome(outcomes[seen]))
    return PhoneCounts("a.json", "default", "lite0", "0" * 64, "mpox", 0.2, (day,), tuple(cases))


def drawn(random: np.random.Generator, n: int, checked: Sequence[float]) -> Part:
    """Outcomes, who is sick and who is seen: cases are checked in the share `checked` of their outcome."""
    sick = random.random(n) < 0.3
    outcomes = np.where(sick, random.choice(4, n, p=SICK), random.choice(4, n, p=WELL))
    return outcomes, sick, random.random(n) < np.array(checked)[outcomes]


def alike(random: np.random.Generator, n: int, alikeness: float) -> Part:
    """As `drawn`, of a phone with a sensitivity and a specificity of its own; half of all cases are checked."""
    k = (1 - alikeness) / alikeness
    called, right = random.beta(0.95 * k, 0.05 * k), random.beta(0.8 * k, 0.2 * k)
    sick = random.random(n) < 0.4
    outcomes = np.where(random.random(n) < np.where(sick, called, 1 - right), 0, 3)
    return outcomes, sick, random.random(n) < 0.5


def reported(*phones: PhoneCounts) -> FieldReport:
    return field_report(Evidence("default", "mpox", phones), RULE, HELD_OUT)


def holds(figure: Interval | None, truth: float) -> bool:
    assert figure is not None and figure.low is not None and figure.high is not None
    return figure.low <= truth <= figure.high


def warns(report: FieldReport, words: str) -> bool:
    return any(words in one for one in report.cautions)


@pytest.mark.parametrize("checked", [(0.9, 0.9, 0.6, 0.05), (0.9, 0.9, 0.6, 0.15), (0.5, 0.5, 0.5, 0.5)])
def test_sensitivity_is_corrected_by_the_four_outcomes(checked: Sequence[float]) -> None:
    """The app sends `unclear` to a clinician, and `not_suspected` not: who is seen is not chance among both."""
    reports = [reported(phone(*drawn(np.random.default_rng(seed), 2000, checked))) for seed in range(80)]
    figures = [report.corrected_sensitivity for report in reports]
    assert np.mean([one.value for one in figures if one]) == pytest.approx(0.95, abs=0.012)
    assert np.mean([holds(one, 0.95) for one in figures]) >= 0.9
    assert np.mean([warns(report, "below the 0.950") for report in reports]) <= 0.09


def test_the_interval_of_the_corrected_sensitivity_is_over_phones() -> None:
    found = []
    for seed in range(100):
        random = np.random.default_rng(seed)
        found.append(reported(*(phone(*alike(random, 50, 0.3)) for _ in range(8))))
    assert np.mean([holds(report.corrected_sensitivity, 0.95) for report in found]) >= 0.9
    assert np.mean([warns(report, "below the 0.950") for report in found]) <= 0.06


@pytest.mark.parametrize("phones", [1, 6])
def test_where_all_cases_are_checked_the_corrected_figure_is_the_plain_one(phones: int) -> None:
    random = np.random.default_rng(1)
    parts = [drawn(random, 40 + 30 * k, (1, 1, 1, 1)) for k in range(phones)]
    report = reported(*(phone(*part) for part in parts))
    hits = np.concatenate([outcomes[sick] < 2 for outcomes, sick, _ in parts])
    codes = np.repeat(np.arange(phones), [sick.sum() for _, sick, _ in parts])
    plain = proportion(hits, codes if phones > 1 else np.arange(len(hits)), 0.95)
    found = report.corrected_sensitivity
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-12)
    # A clinic's answers to all cases of a phone say the same as the phone's.
    outcomes, sick, _ = parts[0]
    answers = tuple(
        Answer(str(k), "default", "0" * 64, OUTCOMES[outcome], 0.2, {"mpox": 0.5}, "mpox" if ill else "other")
        for k, (outcome, ill) in enumerate(zip(outcomes, sick, strict=True))
    )
    counted = phone(outcomes, sick, np.zeros(len(sick), bool))
    both = field_report(Evidence("default", "mpox", (counted,), answers), RULE, HELD_OUT)
    alone = reported(phone(*parts[0])).corrected_sensitivity
    assert both.corrected_sensitivity is not None and alone is not None
    assert both.corrected_sensitivity.low == pytest.approx(alone.low, abs=1e-12)


def test_an_outcome_of_which_nothing_is_checked_leaves_the_figures_out() -> None:
    report = reported(phone(*drawn(np.random.default_rng(0), 600, (0.9, 0.9, 0.0, 0.5))))
    assert (report.corrected_sensitivity, report.proposed_threshold) == (None, None)
    assert warns(report, "No clinician's answer is of the outcome unclear (")


def chances_of(random: np.random.Generator, outcomes: np.ndarray) -> np.ndarray:
    chances: np.ndarray = random.uniform(FROM[outcomes], TO[outcomes])
    return chances


def finds(threshold: float) -> float:
    """The share of all mpox whose probability reaches a threshold."""
    return float(np.array(SICK) @ np.clip((TO - threshold) / (TO - FROM), 0, 1))


def test_the_proposed_threshold_allows_for_who_is_checked() -> None:
    """A rank among those checked, mostly called ones, would find .926."""
    proposed, promised = [], []
    for seed in range(80):
        random = np.random.default_rng(seed)
        outcomes, sick, seen = drawn(random, 2000, (0.9, 0.9, 0.6, 0.05))
        report = reported(phone(outcomes, sick, seen, chances_of(random, outcomes)))
        if report.proposed_threshold is not None and report.proposed_sensitivity is not None:
            proposed.append(report.proposed_threshold)
            promised.append(report.proposed_sensitivity)
    assert len(proposed) > 60 and min(promised) >= 0.95
    assert np.mean([finds(threshold) for threshold in proposed]) >= np.mean(promised) - 0.005


def test_no_threshold_is_proposed_where_too_few_are_checked_to_promise_it() -> None:
    random = np.random.default_rng(0)
    outcomes, sick, seen = drawn(random, 2000, (0.9, 0.9, 0.02, 0.02))
    report = reported(phone(outcomes, sick, seen, chances_of(random, outcomes)))
    assert report.proposed_threshold is None and report.corrected_sensitivity is not None
    assert warns(report, "No threshold is proposed: of the ")


def test_with_even_shares_the_proposed_threshold_is_that_of_the_rank() -> None:
    random = np.random.default_rng(0)
    outcomes, sick, _ = drawn(random, 500, (1, 1, 1, 1))
    chances = chances_of(random, outcomes)
    report = reported(phone(outcomes, sick, np.ones(500, bool), chances))
    expected = threshold_for(chances[sick], np.arange(sick.sum()), 0.95)
    assert (report.proposed_threshold, report.proposed_sensitivity) == pytest.approx(expected)


def drift(held_out: np.ndarray, outcomes: np.ndarray, groups: np.ndarray | None = None) -> bool:
    none = np.zeros(len(outcomes), bool)
    found = Evidence("default", "mpox", (phone(outcomes, none, none),))
    return warns(field_report(found, RULE, held_out, held_out_groups=groups), "often than on the study's held-out")


def test_a_drift_is_told_from_the_chance_of_few_held_out_photos() -> None:
    shares, alarms, found = (0.25, 0.1, 0.1, 0.55), [], []
    for seed in range(120):
        random = np.random.default_rng(seed)
        held_out, same = random.choice(4, 100, p=shares), random.choice(4, 2000, p=shares)
        alarms.append(drift(held_out, same))
        found.append(drift(held_out, random.choice(4, 2000, p=(0.4, 0.2, 0.1, 0.3))))
    assert np.mean(alarms) <= 0.09 and np.mean(found) >= 0.95
    # Held-out photos of five people alone say little of a share.
    held_out, groups = np.repeat([0, 0, 3, 3, 3], 20), np.repeat(np.arange(5), 20)
    same = np.repeat([0, 3], [1100, 900])
    assert drift(held_out, same) and not drift(held_out, same, groups)
