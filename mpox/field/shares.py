"""Shares of photos and cases that phones counted, with intervals over phones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mpox.field.counts import ADVISED, Day
from mpox.stats.intervals import Interval, proportion


@dataclass(frozen=True)
class Month:
    """A calendar month: photos refused, of all that were taken or refused; cases by outcome and their advice."""

    month: str
    photos: int
    refused: Interval
    cases: int
    advised: Interval
    referred: Interval


class Shares:
    """Shares of what phones counted on days (each with its phone's number)."""

    def __init__(self, days: Sequence[tuple[int, Day]], confidence: float) -> None:
        self.days, self.confidence = days, confidence

    def refused(self, days: Sequence[tuple[int, Day]]) -> Interval:
        """Of photos that were taken or refused."""
        return self._share(days, lambda day: (sum(day.refused.values()), day.taken + sum(day.refused.values())))

    def of_cases(self, days: Sequence[tuple[int, Day]], outcomes: Sequence[str]) -> Interval:
        """Of cases that have one of these outcomes."""
        return self._share(days, lambda day: (_of(day.answered, outcomes), sum(day.answered.values())))

    def referred(self, days: Sequence[tuple[int, Day]]) -> Interval:
        """Of cases with the advice to see a clinician; a case may be referred on a later day than it was answered."""
        return self._share(days, lambda day: (_of(day.referred, ADVISED), _of(day.answered, ADVISED)))

    def by_month(self) -> list[Month]:
        """Of each calendar month, in their order."""
        months = sorted({f"{day.date:%Y-%m}" for _, day in self.days})
        return [self._month(month, [one for one in self.days if f"{one[1].date:%Y-%m}" == month]) for month in months]

    def _month(self, month: str, days: Sequence[tuple[int, Day]]) -> Month:
        return Month(
            month=month,
            photos=sum(day.taken + sum(day.refused.values()) for _, day in days),
            refused=self.refused(days),
            cases=sum(sum(day.answered.values()) for _, day in days),
            advised=self.of_cases(days, ADVISED),
            referred=self.referred(days),
        )

    def _share(self, days: Sequence[tuple[int, Day]], count: Callable[[Day], tuple[int, int]]) -> Interval:
        by_phone: dict[int, list[int]] = {}
        for phone, day in days:
            hits, n = count(day)
            sums = by_phone.setdefault(phone, [0, 0])
            sums[0], sums[1] = sums[0] + hits, sums[1] + n
        sums_of = [(phone, min(hits, n), n) for phone, (hits, n) in by_phone.items()]
        each = np.concatenate([np.zeros(0, bool), *(np.arange(n) < hits for _, hits, n in sums_of)])
        codes = np.concatenate([np.zeros(0, np.int64), *(np.full(n, phone) for phone, _, n in sums_of)])
        # One phone alone has no groups to differ by: its cases are then taken as independent.
        several = len(np.unique(codes)) > 1
        return proportion(each, codes if several else np.arange(len(each)), self.confidence)


def _of(counts: Mapping[str, int], outcomes: Sequence[str]) -> int:
    return sum(counts.get(name, 0) for name in outcomes)
