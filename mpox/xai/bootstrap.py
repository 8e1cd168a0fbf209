"""Intervals by resampling: whole groups are drawn, since photos of one patient do not vary independently."""

from dataclasses import dataclass

import numpy as np

from mpox.stats.intervals import group_codes, resampling_weights

DRAWS, LEVEL = 2000, 0.95


@dataclass(frozen=True)
class Interval:
    """A figure with the bounds of its 95 % percentile interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def as_json(self) -> dict[str, float | None]:
        """Return value, low and high; None for what is not defined."""
        return {name: float(number) if np.isfinite(number) else None for name, number in vars(self).items()}


def resampled_weights(groups: np.ndarray, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """How often each photo (column) is drawn in each of `draws` resamples of groups: (draws, N) int64."""
    return resampling_weights(group_codes(groups), draws, seed).astype(int)


def mean_interval(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> Interval:
    """Mean of values (N) float with its interval over groups (N); NaN are left out, no value gives NaN."""
    defined = np.isfinite(values)
    if not defined.any():
        return Interval(np.nan, np.nan, np.nan)
    values, weights = values[defined], resampled_weights(groups[defined], seed)
    return bounds(float(values.mean()), weights @ values / weights.sum(1))


def bounds(value: float, draws: np.ndarray) -> Interval:
    """Percentile interval of resampled figures (draws), those undefined left out, around `value`."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Interval(value, np.nan, np.nan)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Interval(value, float(low), float(high))


def written(interval: dict[str, float | None]) -> str:
    """Write an `Interval.as_json` for people; a dash where it is not defined."""
    if interval["value"] is None:
        return "-"
    return str(Interval(*(np.nan if number is None else number for number in interval.values())))
