"""From probabilities to a class by the rule of the contract, and whether to refer the photo to a clinician."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mpox.stats.decision import DecisionRule

ANSWER, REFER = "answer", "refer"


class Predictor(Protocol):
    """A model of working pictures; `mpox.mobile.run.runtime.PhoneModel` explains each member."""

    labels: tuple[str, ...]
    image_size: int
    interpolation: str
    resize: str
    temperature: float

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C) float32 of working pictures."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return logits (N, C) float32 of working pictures."""


class DecidingPredictor(Predictor, Protocol):
    """A predictor, exported or not, with a decision rule and maps."""

    positive: int | None
    rule: DecisionRule

    @property
    def explains(self) -> bool:
        """Whether `explain` gives maps."""

    def explain(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N, C) and maps (N, C, h, w)."""


@dataclass(frozen=True)
class Decision:
    """The decision on one photo: the class, `answer` or `refer`, and why it is referred (empty where it is not)."""

    label: str
    action: str
    why: str
    probabilities: dict[str, float]


def decide(
    probabilities_C: np.ndarray, labels: Sequence[str], positive: int | None, rule: DecisionRule, refer_below: float
) -> Decision:
    """Decide on one photo. `positive` is the index of mpox; probabilities are at the rule's temperature.

    A photo that the rule calls mpox is always referred. Otherwise the class is the most probable; it is referred where
    it is not the only one in the prediction set. A rule without sets refers where the probability of the class is below
    `refer_below` (0..1).
    """
    by_label = {name: float(p) for name, p in zip(labels, probabilities_C, strict=True)}
    largest = max(labels, key=by_label.__getitem__)
    chances = probabilities_C[None].astype("float64")
    if positive is not None and rule.called_positive(chances, positive)[0]:
        name = labels[positive]
        why = f"{name} is suspected"
        if name != largest:
            why = f"{name} cannot be ruled out: {by_label[name]:.2f} reaches the threshold {rule.threshold:.2f}"
        return Decision(name, REFER, why, by_label)
    if rule.quantiles is None:
        if by_label[largest] < refer_below:
            return Decision(largest, REFER, f"unsure: {by_label[largest]:.2f} is below {refer_below:g}", by_label)
        return Decision(largest, ANSWER, "", by_label)
    within = [name for name, holds in zip(labels, rule.sets(chances)[0], strict=True) if holds]
    if within == [largest]:
        return Decision(largest, ANSWER, "", by_label)
    why = f"unsure: it may be {' or '.join(within)}" if within else "unsure: it is like none of the known classes"
    return Decision(largest, REFER, why, by_label)
