"""From probabilities to a class by the rule of the contract, and whether to refer the photo to a clinician."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

ANSWER, REFER = "answer", "refer"


class Predictor(Protocol):
    """A model of working pictures; `mpox.mobile.run.runtime.PhoneModel` explains each member."""

    labels: tuple[str, ...]
    image_size: int
    interpolation: str

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C) float32 of working pictures."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return logits (N, C) float32 of working pictures."""


class DecidingPredictor(Predictor, Protocol):
    """A predictor, exported or not, with a decision rule and maps."""

    positive: int | None
    threshold: float | None

    @property
    def explains(self) -> bool:
        """Whether `explain` gives maps."""

    def explain(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N, C) and maps (N, C, h, w)."""


@dataclass(frozen=True)
class DecisionRule:
    """From logits to classes: fitted to validation photos. `threshold` is None where no class is mpox."""

    temperature: float
    threshold: float | None


@dataclass(frozen=True)
class Decision:
    """The decision on one photo: the class, `answer` or `refer`, and why it is referred (empty where it is not)."""

    label: str
    action: str
    why: str
    probabilities: dict[str, float]


def decide(
    probabilities_C: np.ndarray,
    labels: Sequence[str],
    positive: int | None,
    threshold: float | None,
    refer_below: float,
) -> Decision:
    """Decide on one photo. `positive` is the index of mpox; `threshold` the probability from which a photo is called
    mpox.

    A photo called mpox is always referred. Otherwise the class is the most probable of the others; it is referred where
    that probability is below `refer_below` (0..1).
    """
    by_label = {name: float(p) for name, p in zip(labels, probabilities_C, strict=True)}
    if positive is not None and threshold is not None:
        name = labels[positive]
        if by_label[name] >= threshold:
            return Decision(name, REFER, f"{name} is suspected", by_label)
        chosen = max((other for other in labels if other != name), key=by_label.__getitem__)
    else:
        chosen = max(labels, key=by_label.__getitem__)
    if by_label[chosen] < refer_below:
        return Decision(chosen, REFER, f"unsure: {by_label[chosen]:.2f} is below {refer_below:g}", by_label)
    return Decision(chosen, ANSWER, "", by_label)
