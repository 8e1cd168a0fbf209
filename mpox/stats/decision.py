"""The rule from logits to a finding: one temperature, one threshold of mpox, and a prediction set.

Reports, exported files, `mpox.predict` and apps all decide by it. `mpox.stats.decision_fit` fits it.
"""

from dataclasses import dataclass

import numpy as np

from mpox.stats.pooled import softmax

# What float32 may add to a probability, or take from it.
ROUNDING = 1e-6
# What an app answers, from the most urgent on: mpox is the likeliest class; it reaches the threshold alone; another
# class is the likeliest but not alone in the prediction set, or the set is empty; another class alone.
OUTCOMES = ("suspected", "not_ruled_out", "unclear", "not_suspected")


@dataclass(frozen=True)
class DecisionRule:
    """From logits to a finding.

    temperature: logits are divided by it. threshold: a photo is called mpox when its probability reaches it, or is the
    largest; `threshold_low` and `threshold_high` are its interval by order statistics, `promised_sensitivity` the
    share of the next photos of mpox that it finds on average: less than `target_sensitivity` where there are too few
    groups of photos of mpox. All four are None where no photo is of mpox.
    quantiles: class k is in the prediction set of a photo when 1 - p_k <= quantiles[k]; 1.0 where the class has too few
    groups to promise `coverage`: then it is in every set. None: files made before there were sets have none.
    fitted_on: the photos, in words.
    """

    temperature: float
    threshold: float | None
    quantiles: tuple[float, ...] | None = None
    threshold_low: float | None = None
    threshold_high: float | None = None
    promised_sensitivity: float | None = None
    target_sensitivity: float | None = None
    coverage: float | None = None
    fitted_on: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that no fit gives: a rule may come from a file that somebody changed."""
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"a temperature of {self.temperature} is none")
        for name, values in (("threshold", (self.threshold,)), ("quantile", self.quantiles or ())):
            for value in values:
                if value is not None and not -ROUNDING <= value <= 1 + ROUNDING:
                    raise ValueError(f"a {name} of {value} is none of a probability")

    def probabilities(self, logits_NC: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C) float64 at the temperature."""
        return softmax(logits_NC, self.temperature)

    def called_positive(self, probabilities_NC: np.ndarray, positive: int) -> np.ndarray:
        """Return which photos (bool, N) are called mpox: the probability reaches the threshold, or is the largest."""
        return called_positive(probabilities_NC, positive, self.threshold)

    def sets(self, probabilities_NC: np.ndarray) -> np.ndarray:
        """Return which classes the prediction set of each photo holds: bool (N, C); all without quantiles."""
        if self.quantiles is None:
            return np.ones(probabilities_NC.shape, bool)
        return prediction_sets(probabilities_NC, np.array(self.quantiles))

    def outcomes(self, probabilities_NC: np.ndarray, positive: int) -> np.ndarray:
        """Return the outcome of each photo: an index of OUTCOMES (int, N)."""
        largest = probabilities_NC.argmax(1)
        called, sets = self.called_positive(probabilities_NC, positive), self.sets(probabilities_NC)
        clear = (sets.sum(1) == 1) & sets[np.arange(len(sets)), largest]
        return np.select([largest == positive, called, ~clear], [0, 1, 2], 3)


def called_positive(probabilities_NC: np.ndarray, positive: int, threshold: float | np.ndarray | None) -> np.ndarray:
    """Return which photos (bool, N) are called mpox; `threshold` is one number, one a photo, or None (largest only)."""
    largest = probabilities_NC.argmax(1) == positive
    return largest if threshold is None else largest | (probabilities_NC[:, positive] >= threshold)


def prediction_sets(probabilities_NC: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Return which classes each set holds: bool (N, C). `quantiles` (C), or one row a photo (N, C)."""
    return np.asarray(1 - probabilities_NC <= quantiles + 1e-12)
