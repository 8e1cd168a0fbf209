"""The options of a comparison, checked before anything is read."""

from dataclasses import dataclass

from mpox.errors import UserError
from mpox.stats.metrics import METRICS


@dataclass(frozen=True)
class ComparisonOptions:
    """How to compare; `conf/compare.yaml` documents each and holds the defaults."""

    metric: str = "balanced_accuracy"
    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0
    rope: float = 0.01
    target_sensitivity: float = 0.95
    prevalences: tuple[float, ...] = (0.01, 0.05, 0.2)
    coverage: float = 0.95
    subgroups: tuple[str, ...] = ("source", "ita_bin", "resolution")
    mistakes: int = 24

    def __post_init__(self) -> None:
        ranking = [name for name, metric in METRICS.items() if metric.ranks]
        if self.metric not in ranking:
            raise UserError(f"metric={self.metric} cannot rank models: choose one of {', '.join(ranking)}")
        shares = [(name, getattr(self, name)) for name in ("confidence", "target_sensitivity", "coverage")]
        for name, value in [*shares, *(("prevalences", value) for value in self.prevalences)]:
            if not 0 < value < 1:
                raise UserError(f"{name}={value} must be between 0 and 1, such as 0.95")
        if self.resamples < 100:
            raise UserError(f"resamples={self.resamples} gives no usable interval: give 1000 or more")
        if self.rope < 0:
            raise UserError(f"rope={self.rope} is negative: give the difference that does not matter, such as 0.01")
