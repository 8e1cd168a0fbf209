"""How figures are written for people, the same wherever they are shown."""

from typing import Protocol

DASH = "-"


class Bounded(Protocol):
    """A figure with an interval: `Interval`, or `Score` with its pooled figure."""

    @property
    def figure(self) -> float | None:
        """What the interval is about."""

    @property
    def low(self) -> float | None:
        """Its lower bound."""

    @property
    def high(self) -> float | None:
        """Its upper bound."""


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """Return a figure with fixed digits, a dash where it is not defined."""
    return DASH if value is None else f"{value:{'+' if signed else ''}.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction in percent, a dash where it is not defined."""
    return DASH if value is None else f"{100 * value:.{digits}f} %"


def p_value(p: float | None) -> str:
    """Return a p-value with three digits, or that it is smaller; a dash where it is not defined."""
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def bounds(value: Bounded, digits: int = 3, *, signed: bool = False) -> str:
    """Return `low to high`, a dash where one is not defined."""
    if value.low is None or value.high is None:
        return DASH
    return f"{number(value.low, digits, signed=signed)} to {number(value.high, digits, signed=signed)}"


def interval(value: Bounded, digits: int = 3, *, signed: bool = False) -> str:
    """Return `value (low to high)`; without bounds the value alone; of a score, the pooled figure's."""
    middle, around = number(value.figure, digits, signed=signed), bounds(value, digits, signed=signed)
    return middle if DASH in (middle, around) else f"{middle} ({around})"


def percent_interval(value: Bounded) -> str:
    """Return `value % (low to high)` of a fraction."""
    middle = percent(value.figure)
    if value.figure is None or value.low is None or value.high is None:
        return middle
    return f"{middle} ({100 * value.low:.1f} to {100 * value.high:.1f})"
