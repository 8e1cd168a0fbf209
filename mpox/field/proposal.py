"""A threshold by the cases that clinicians call mpox: a proposal, which changes nothing."""

from collections.abc import Sequence

import numpy as np

from mpox.field.checked import Checked
from mpox.field.counts import Case
from mpox.stats.decision import OUTCOMES

# Fewer clinicians' answers of mpox do not promise a sensitivity of .95 at any threshold.
LEAST_POSITIVE = 19


def proposed_threshold(sick: Sequence[Case], seen: Checked, target: float) -> tuple[float, float] | None:
    """Return the threshold that the next case of mpox reaches with at least this probability, and that probability.

    `sick` are the cases that clinicians call mpox. Who is seen depends on the outcome, so that each stands for the
    cases of its outcome over those checked, and the next case for as many as any does: weighted conformal prediction
    (Tibshirani, Foygel Barber, Candès & Ramdas 2019). With all cases checked it is the rank of
    `mpox.stats.decision_fit.threshold_for`. Each case is a vote of its own: the next one is of these phones again.
    None with fewer than LEAST_POSITIVE cases, where the checked shares are unknown, and where no threshold promises as
    much: there the answers of an outcome that is seldom checked weigh too much.
    """
    if len(sick) < LEAST_POSITIVE or seen.unknown() is not None:
        return None
    chances = np.array([case.chance for case in sick])
    weights = seen.weights_4[[OUTCOMES.index(case.outcome) for case in sick]]
    order = np.argsort(-chances)
    share = np.cumsum(weights[order]) / (weights.sum() + seen.weights_4.max())
    rank = int(np.searchsorted(share, target - 1e-9))
    return (float(chances[order[rank]]), float(share[rank])) if rank < len(share) else None
