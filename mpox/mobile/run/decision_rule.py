"""From probabilities to an answer by the rule of the contract, and whether to leave it to a clinician."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

ANSWER, REFER = "answer", "refer"


class Answering(Protocol):
    """What gives answers of working pictures; see `mpox.mobile.run.runtime.PhoneModel` for what each part means."""

    labels: tuple[str, ...]
    image_size: int
    interpolation: str

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C) float32 of working pictures."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return logits (N, C) float32 of working pictures."""


class Model(Answering, Protocol):
    """What is asked of a model, exported or not: answers, the rule of decision, and maps."""

    positive: int | None
    threshold: float | None

    @property
    def explains(self) -> bool:
        """Whether `explain` gives maps."""

    def explain(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N, C) and maps (N, C, h, w)."""


@dataclass(frozen=True)
class Answer:
    """What is said of one photo: the class, `answer` or `refer`, and why it is referred (empty where it is not)."""

    label: str
    action: str
    why: str
    probabilities: dict[str, float]


def answer(
    probabilities_C: np.ndarray,
    labels: Sequence[str],
    positive: int | None,
    threshold: float | None,
    refer_below: float,
) -> Answer:
    """Decide on one photo. `positive` is the index of mpox; `threshold` the probability from which it is called.

    Called mpox: always referred. Otherwise the class with the largest probability of the others, referred where that is
    below `refer_below` (0..1).
    """
    by_label = {name: float(p) for name, p in zip(labels, probabilities_C, strict=True)}
    if positive is not None and threshold is not None:
        name = labels[positive]
        if by_label[name] >= threshold:
            return Answer(name, REFER, f"{name} is suspected", by_label)
        chosen = max((other for other in labels if other != name), key=by_label.__getitem__)
    else:
        chosen = max(labels, key=by_label.__getitem__)
    if by_label[chosen] < refer_below:
        return Answer(chosen, REFER, f"unsure: {by_label[chosen]:.2f} is below {refer_below:g}", by_label)
    return Answer(chosen, ANSWER, "", by_label)
