"""What is known of a study's models after deployment: phones' counts and a clinic's answers, no case twice."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from mpox.errors import UserError
from mpox.field.answers import Answer
from mpox.field.counts import Case, PhoneCounts, is_sha256
from mpox.field.given import Given

log = logging.getLogger("mpox")


@dataclass(frozen=True)
class Evidence:
    """Counts of phones and answers of clinics of the models of one study, which look for the class `positive`.

    `replaced` cases that phones counted are left out of `phones`: see `evidence`.
    """

    study: str
    positive: str
    phones: tuple[PhoneCounts, ...]
    answers: tuple[Answer, ...] = ()
    replaced: int = 0

    def cases(self) -> list[tuple[str, Case]]:
        """Return every case with a clinician's answer, once, with the group of cases that are not independent of it.

        That is its phone; whose phone a clinic's case is from is not known, so that each is a group of its own.
        """
        by_phone = [(f"phone {k}", case) for k, one in enumerate(self.phones) for case in one.cases]
        return by_phone + [(one.id, self.case(one)) for one in self.answers]

    def case(self, one: Answer) -> Case:
        """Return a clinic's case as a phone would have counted it."""
        return Case(one.outcome, one.chances[self.positive], one.final)


def evidence(given: Given, study: str, classes: Sequence[str], positive: str) -> Evidence:
    """Put together what is given of a study with these classes.

    A case may be in a phone's counts and in a clinic's answers, and counts hold no id by which to find it, on purpose:
    of a model (by its SHA-256) that answers are given of, the cases with an answer are the clinic's alone; days stay
    the phones'. Answers of a model with other classes, or without a SHA-256, are left out, with a warning: anybody can
    send a case.
    Raises UserError for phones whose model looks for another class, and where nothing is left.
    """
    for one in given.phones:
        if one.positive != positive:
            raise UserError(f"{one.phone} counts {one.positive}, which is not what study {study} looks for")
    answers = tuple(one for one in given.answers if is_sha256(one.sha256) and set(one.chances) == set(classes))
    if others := len(given.answers) - len(answers):
        log.warning(
            "%d answered cases are left out: their model has other classes than study %s (%s), or no SHA-256",
            *(others, study, ", ".join(classes)),
        )
    if not answers and not given.phones:
        raise UserError(
            f"no answered case names a model by its SHA-256 and has the classes of study {study} "
            f"({', '.join(classes)}): give the study that the app's model is of"
        )
    answered = {one.sha256 for one in answers}
    replaced = sum(len(one.cases) for one in given.phones if one.sha256 in answered)
    phones = tuple(dataclasses.replace(one, cases=()) if one.sha256 in answered else one for one in given.phones)
    return Evidence(study, positive, phones, answers, replaced)
