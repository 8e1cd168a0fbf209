"""Which cases clinicians checked, by outcome: who is seen depends on what the app answered."""

from dataclasses import dataclass

import numpy as np

from mpox.field.counts import CANNOT_TELL
from mpox.field.evidence import Evidence
from mpox.stats.decision import OUTCOMES


@dataclass(frozen=True)
class Checked:
    """Cases by group and outcome, and by outcome, in the order of OUTCOMES: int64 (G, 4).

    `cases` that phones counted; `known`: those that a clinician could answer; `sick`: those they call mpox. A group is
    a phone. Which phone a clinic's case is of is not known: `own` (4) are the clinic's cases that clinicians could
    answer and `own_sick` (4) those of mpox.
    """

    cases: np.ndarray
    known: np.ndarray
    sick: np.ndarray
    own: np.ndarray
    own_sick: np.ndarray

    @property
    def cases_4(self) -> np.ndarray:
        """All cases by outcome."""
        counted: np.ndarray = self.cases.sum(0)
        return counted

    @property
    def known_4(self) -> np.ndarray:
        """All cases with an answer by outcome."""
        counted: np.ndarray = self.known.sum(0) + self.own
        return counted

    @property
    def sick_4(self) -> np.ndarray:
        """All cases of mpox by outcome."""
        counted: np.ndarray = self.sick.sum(0) + self.own_sick
        return counted

    @property
    def weights_4(self) -> np.ndarray:
        """How many cases one with an answer stands for, by outcome: float, 0 where there is no case."""
        return np.divide(self.cases_4, self.known_4, out=np.zeros(4), where=self.known_4 > 0)

    def unknown(self) -> str | None:
        """Say in one sentence why the checked shares of the outcomes are not known, or return None where they are."""
        if not len(self.cases):
            return "No phone's counts are given: which share of cases of each outcome was checked is not known."
        over = [k for k in range(4) if self.known_4[k] > self.cases_4[k]]
        if over:
            return (
                f"Clinicians answered {self.known_4[over[0]]} cases of the outcome {OUTCOMES[over[0]]}, but the phones "
                f"count {self.cases_4[over[0]]}: which share of cases was checked is not known."
            )
        none = [k for k in range(4) if self.cases_4[k] and not self.known_4[k]]
        if none:
            which = ", ".join(f"{OUTCOMES[k]} ({self.cases_4[k]} cases)" for k in none)
            return f"No clinician's answer is of the outcome {which}: how many of these are mpox is not known."
        return None


def checked(found: Evidence) -> Checked:
    """Count the cases of phones and clinics by outcome; a case that nobody could tell is one without an answer."""
    place = {name: k for k, name in enumerate(OUTCOMES)}
    cases, known, sick = (np.zeros((len(found.phones), 4), "int64") for _ in range(3))
    own, own_sick = np.zeros(4, "int64"), np.zeros(4, "int64")
    for k, phone in enumerate(found.phones):
        for day in phone.days:
            for name, n in day.answered.items():
                cases[k, place[name]] += n
        for case in phone.cases:
            known[k, place[case.outcome]] += case.clinician != CANNOT_TELL
            sick[k, place[case.outcome]] += case.clinician == found.positive
    for one in found.answers:
        own[place[one.outcome]] += one.final != CANNOT_TELL
        own_sick[place[one.outcome]] += one.final == found.positive
    # A case may be referred twice, or have another outcome by a further photo after that: it was a case all the same.
    return Checked(np.maximum(cases, known), known, sick, own, own_sick)
