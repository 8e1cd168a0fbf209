"""What apps and clinics saw after deployment against what the study promised: quality, referral, sensitivity."""

import dataclasses
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mpox.field.checked import Checked, checked
from mpox.field.corrected import corrected_sensitivity
from mpox.field.counts import ADVISED, CALLED, CANNOT_TELL
from mpox.field.evidence import Evidence
from mpox.field.proposal import LEAST_POSITIVE, proposed_threshold
from mpox.field.shares import Month, Shares
from mpox.stats.decision import OUTCOMES, DecisionRule
from mpox.stats.intervals import Interval, difference, effective_size, proportion


@dataclass(frozen=True)
class FieldReport:
    """The content of field.json.

    `phones` is the number of files of phones, `answers` that of cases that come from a clinic's answers. What phones
    alone count (`cases`, `faults`, `months`, the shares of photos and cases) is None, empty or undefined without them.
    `outcomes` and `promised_outcomes`: shares of cases, and of the study's held-out photos by the same rule.
    `advised_change`: the share of cases that are advised to see a clinician, less that of the held-out photos.
    `sensitivity`, `specificity`: of cases that a clinician answered. `corrected_sensitivity`: as if all cases had been
    (Begg & Greenes, Biometrics 1983), None where an outcome that has cases has no answer. `proposed_threshold`: of
    clinicians' cases of mpox, with the sensitivity it promises; None with fewer than LEAST_POSITIVE of them, and where
    the answers do not promise what was asked. `missed`: ids of a clinic's cases of mpox that the app did not call so.
    """

    study: str
    phones: int
    answers: int
    cases: int | None
    confidence: float
    months: list[Month]
    refused: Interval
    faults: dict[str, int] | None
    outcomes: dict[str, Interval]
    promised_outcomes: dict[str, float]
    advised: Interval
    promised_advised: float
    advised_change: Interval
    referred: Interval
    checked: int
    cannot_tell: int
    sensitivity: Interval
    promised_sensitivity: float | None
    specificity: Interval
    corrected_sensitivity: Interval | None
    threshold: float | None
    proposed_threshold: float | None
    proposed_sensitivity: float | None
    missed: list[str]
    cautions: list[str]

    def plain(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def field_report(
    found: Evidence,
    rule: DecisionRule,
    held_out: np.ndarray,
    confidence: float = 0.95,
    held_out_groups: np.ndarray | None = None,
) -> FieldReport:
    """Compare what was seen with the rule that left the study and its outcomes on held-out photos (int, N).

    Cases of one phone are not independent: intervals are over phones where there are several. `held_out_groups` (int,
    N) are of photos that are not independent; None: all are.
    """
    days = [(phone, day) for phone, one in enumerate(found.phones) for day in one.days]
    share = Shares(days, confidence)
    told = found.cases()
    known = [(group, case) for group, case in told if case.clinician != CANNOT_TELL]
    sick = np.array([case.clinician == found.positive for _, case in known], bool)
    called = np.array([case.outcome in CALLED for _, case in known], bool)
    several = len({group for group, _ in known}) > 1
    groups = np.array([group if several else str(k) for k, (group, _) in enumerate(known)], str)
    hits, seen = called[sick], checked(found)
    kept = effective_size(hits, groups[sick], confidence) / len(hits) if len(hits) else 1.0
    cases_of_mpox = [case for _, case in known if case.clinician == found.positive]
    proposed = proposed_threshold(cases_of_mpox, seen, rule.target_sensitivity or 0.95) or (None, None)
    advised = share.of_cases(days, ADVISED)
    photos = np.arange(len(held_out)) if held_out_groups is None else held_out_groups
    promised_advised = proportion(held_out < len(ADVISED), photos, confidence)
    answered = {name: sum(day.answered.get(name, 0) for _, day in days) for name in OUTCOMES}
    report = FieldReport(
        study=found.study,
        phones=len({one.phone for one in found.phones}),
        answers=len(found.answers),
        cases=sum(answered.values()) if found.phones else None,
        confidence=confidence,
        months=share.by_month(),
        refused=share.refused(days),
        faults=_summed(day.refused for _, day in days) if found.phones else None,
        outcomes={name: share.of_cases(days, (name,)) for name in OUTCOMES},
        promised_outcomes={name: float(np.mean(held_out == k)) for k, name in enumerate(OUTCOMES)},
        advised=advised,
        promised_advised=float(np.mean(held_out < len(ADVISED))),
        advised_change=difference(advised, promised_advised),
        referred=share.referred(days),
        checked=len(told),
        cannot_tell=len(told) - len(known),
        sensitivity=proportion(hits, groups[sick], confidence),
        promised_sensitivity=rule.promised_sensitivity,
        specificity=proportion(~called[~sick], groups[~sick], confidence),
        corrected_sensitivity=corrected_sensitivity(seen, kept, confidence),
        threshold=rule.threshold,
        proposed_threshold=proposed[0],
        proposed_sensitivity=proposed[1],
        missed=sorted(one.id for one in found.answers if one.final == found.positive and one.outcome not in CALLED),
        cautions=[],
    )
    return dataclasses.replace(report, cautions=_cautions(report, found, seen))


def _summed(several: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for counts in several:
        for name, value in counts.items():
            total[name] = total.get(name, 0) + value
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def _cautions(report: FieldReport, evidence: Evidence, seen: Checked) -> list[str]:
    found = [
        "Clinicians' answers are of people who were referred and seen, by a look at photos: no test confirms them.",
        "People who use the app are not those whose photos the study has: outcomes may differ for that alone.",
    ]
    if report.cases is None:
        found.append(
            "No phone's counts are given: how many photos are refused, how often the app advises to see a clinician, "
            "whether that drifts, and what it misses in people who send no case are not known. Nor is which share of "
            "cases of each outcome was checked, so that no threshold is proposed."
        )
    if report.phones == 1:
        found.append("All counts are of one phone: its cases are taken as independent.")
    if report.answers:
        found.append("Which of the clinic's cases are of one person is not known: they are taken as independent.")
    if evidence.replaced:
        found.append(
            f"Cases with an answer are the clinic's alone: the {evidence.replaced} that phones counted of the same "
            "model may be among them, and counts hold no id to tell."
        )
    if report.cases is not None and report.checked > report.cases:
        found.append(
            f"Clinicians answered {report.checked} cases, but the phones count {report.cases}: not all phones are here."
        )
    models = {one.sha256 for one in evidence.phones} | {one.sha256 for one in evidence.answers}
    if len(models) > 1:
        found.append(f"The cases are of {len(models)} exported files of the study, by their SHA-256, taken together.")
    known = [case for _, case in evidence.cases() if case.clinician != CANNOT_TELL]
    if known and all(case.outcome in CALLED for case in known):
        found.append("No case that the app did not call mpox was checked: what it misses cannot be known from this.")
    gap = seen.unknown()
    if gap and report.cases is not None and report.checked:
        found.append(f"{gap} Sensitivity as if all cases were checked, and a threshold, are left out.")
    if not gap and report.proposed_threshold is None and seen.sick_4.sum() >= LEAST_POSITIVE:
        rarest = int(seen.weights_4.argmax())
        found.append(
            f"No threshold is proposed: of the {seen.cases_4[rarest]} cases of the outcome {OUTCOMES[rarest]} "
            f"{seen.known_4[rarest]} have an answer, too few to promise what was asked."
        )
    if report.missed:
        more = f" and {len(report.missed) - 3} more (field.json)" if len(report.missed) > 3 else ""
        found.append(f"A clinician calls mpox what the app did not: case {', '.join(report.missed[:3])}{more}.")
    limits = {one.threshold for one in evidence.phones} | {one.threshold for one in evidence.answers}
    if any(limit != report.threshold for limit in limits if limit is not None):
        shown = ", ".join(f"{limit:.3f}" for limit in sorted(limit for limit in limits if limit is not None))
        found.append(f"Phones answered at the threshold {shown}, not at that of chosen.yaml: install the app again.")
    low, high = report.advised_change.low, report.advised_change.high
    if low is not None and high is not None and not low <= 0 <= high:
        way = "more" if low > 0 else "less"
        found.append(f"The app advises to see a clinician {way} often than on the study's held-out photos.")
    if report.months:
        first, last = report.months[0], report.months[-1]
        if first is not last and _apart(first.refused, last.refused):
            found.append(f"Photos are refused at another rate in {last.month} than in {first.month}.")
    promised, figure = report.promised_sensitivity, report.corrected_sensitivity or report.sensitivity
    if promised is not None and figure.high is not None and figure.high < promised:
        found.append(f"Sensitivity is below the {promised:.3f} that was promised: look at the cases before going on.")
    return found


def _apart(one: Interval, other: Interval) -> bool:
    known = one.low is not None and one.high is not None and other.low is not None and other.high is not None
    return known and (one.high < other.low or other.high < one.low)  # type: ignore[operator]
