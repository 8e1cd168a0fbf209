"""Figures with their intervals as marks on a common axis, for table cells of any width."""

from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from mpox.stats.comparison import BEST, Comparison, Pair

# Free space on both sides, in percent of the width: marks at the ends stay whole.
MARGIN = 4.0


@dataclass(frozen=True)
class Axis:
    """The values at a strip's two ends, and the values that are labelled."""

    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int

    def at(self, value: float) -> str:
        """Return the position of a value, in percent of the strip's width."""
        share = (value - self.low) / (self.high - self.low)
        return f"{MARGIN + (100 - 2 * MARGIN) * min(max(share, 0), 1):.2f}%"


@dataclass(frozen=True)
class Behind:
    """How far a model is behind the first-ranked: the pair of both."""

    model: str
    verdict: str
    pair: Pair


def axis(values: Iterable[float | None], also: Iterable[float] = ()) -> Axis | None:
    """Return the axis that holds all values, and those of `also`; None where none is defined."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    known += also
    low, high = min(known), max(known)
    if high - low < 1e-9:
        low, high = low - 0.01, high + 0.01
    ticks = [float(tick) for tick in MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    step = ticks[1] - ticks[0]
    digits = next(digits for digits in range(6) if abs(step - round(step, digits)) < 1e-9)
    return Axis(low, high, tuple(tick for tick in ticks if low - 1e-9 <= tick <= high + 1e-9), digits)


def ranking_axis(comparison: Comparison) -> Axis | None:
    """Return the axis of the models' folds, means and intervals."""
    scores = [model.scores[comparison.metric] for model in comparison.models]
    return axis(value for one in scores for value in (*one.folds, one.mean, one.pooled, one.low, one.high))


def behind(comparison: Comparison) -> list[Behind]:
    """Return how far every other model is behind the first-ranked, in rank order."""
    found = []
    for model in comparison.models:
        if model.verdict != BEST:
            pair = next(one for one in comparison.pairs if one.second == model.name)  # pairs are in rank order
            found.append(Behind(model.name, model.verdict, pair))
    return found


def behind_axis(comparison: Comparison) -> Axis | None:
    """Return the axis of all differences from the first-ranked, zero and the rope among them."""
    differences = [one.pair.difference for one in behind(comparison)]
    values = [value for one in differences for value in (one.value, one.low, one.high)]
    return axis(values, (-comparison.rope, 0.0, comparison.rope))
