"""The sensitivity that there would be if clinicians had checked all cases."""

import math

import numpy as np
from scipy.stats import beta

from mpox.field.checked import Checked
from mpox.field.counts import CALLED
from mpox.stats.decision import OUTCOMES
from mpox.stats.intervals import Interval, size_over_groups, wilson

_CALLED_4 = np.isin(OUTCOMES, CALLED)


def corrected_sensitivity(seen: Checked, kept: float, confidence: float) -> Interval | None:
    """Return the sensitivity as if all cases had been checked (Begg & Greenes, Biometrics 1983).

    Mostly people whom the app sends to a clinician are seen, so that those it missed are not among the answers. Within
    each of the four outcomes, who is seen is taken for chance. None where that is not enough: see `Checked.unknown`.
    The interval puts together (MOVER: Zou & Donner, Statistics in Medicine 2008) Wilson's for as many cases of mpox as
    there seem to be, and how far each outcome's share of mpox, known from some of its cases, may move the figure
    (Jeffreys' interval: Wilson's begins too high for the few of mpox that the app did not call so). Cases that were
    checked add nothing to the latter (finite population); where all were, the figure is that of `proportion`.
    Sizes are those of independent cases that tell as much: over phones where several have answers, else the part
    `kept` (0..1) of them that the plain figure keeps.
    """
    share_4 = seen.sick_4 / np.maximum(seen.known_4, 1)
    sick = float(seen.cases_4 @ share_4)
    if seen.unknown() is not None or sick == 0:
        return None
    value = _sensitivity(seen, share_4)
    over_phones = not seen.own.any() and np.count_nonzero(seen.known.any(1)) > 1
    kept = _kept(seen, share_4, value, confidence) if over_phones else kept
    low, high = wilson(value, sick * kept, confidence)
    below, above = (value - low) ** 2, (high - value) ** 2
    for k in np.flatnonzero(seen.known_4):
        unseen = math.sqrt(1 - seen.known_4[k] / seen.cases_4[k])
        for bound in _jeffreys(share_4[k], seen.known_4[k] * kept, confidence):
            moved_4 = share_4.copy()
            moved_4[k] += (bound - share_4[k]) * unseen
            step = _sensitivity(seen, moved_4) - value
            below, above = below + min(0.0, step) ** 2, above + max(0.0, step) ** 2
    low, high = max(0.0, value - math.sqrt(below)), min(1.0, value + math.sqrt(above))
    return Interval(value, low, high, int(seen.known_4.sum()))


def _sensitivity(seen: Checked, share_4: np.ndarray) -> float:
    """Return the sensitivity where these shares of the outcomes' cases (float, 4) are mpox."""
    sick_4 = seen.cases_4 * share_4
    return float(sick_4[_CALLED_4].sum() / max(sick_4.sum(), 1e-12))


def _kept(seen: Checked, share_4: np.ndarray, value: float, confidence: float) -> float:
    """Return which part of their number independent cases of mpox would have to tell as much, with several phones.

    From the figure's linearised residuals summed by phone, against the variance that independent cases would have.
    """
    error_4 = _CALLED_4 - value
    unseen = seen.cases - seen.known
    residuals = (seen.cases * share_4 + seen.weights_4 * (seen.sick - seen.known * share_4)) @ error_4
    sizes = (seen.sick + unseen * share_4).sum(1)
    n = float(sizes.sum())
    # Of independent cases: that of a share of n, and what the checking of a part adds.
    whole = n * value * (1 - value)
    checking = float((np.square(error_4) * seen.cases_4 * (seen.weights_4 - 1) * share_4 * (1 - share_4)).sum())
    scale = whole / (whole + checking) if whole > 0 else 1.0
    return min(1.0, size_over_groups(value, residuals * math.sqrt(scale), sizes, confidence) / n)


def _jeffreys(share: float, size: float, confidence: float) -> tuple[float, float]:
    """Return Jeffreys' interval of a share of `size` independent cases (Brown, Cai & DasGupta 2001)."""
    hits, tail = share * size, (1 - confidence) / 2
    low, high = beta.ppf([tail, 1 - tail], hits + 0.5, size - hits + 0.5)
    return (float(low) if share > 0 else 0.0), (float(high) if share < 1 else 1.0)
