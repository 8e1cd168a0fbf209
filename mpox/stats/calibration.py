"""Is a stated probability right as often as it claims? Temperature scaling, and errors with bins of equal count."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from mpox.stats.intervals import proportion
from mpox.stats.model_result import Calibration, ReliabilityBin
from mpox.stats.pooled import softmax

# Temperatures that fitting may choose from: a validation fold without a mistake would ask for 0.
COLDEST, HOTTEST = 0.05, 20.0
BINS = 10


def fit_temperature(logits_NC: np.ndarray, targets_N: np.ndarray) -> float:
    """Return the temperature that minimises the NLL of validation photos (Guo et al. 2017), COLDEST to HOTTEST.

    Where all of them are answered right the NLL falls with the temperature without end, and tells nothing about how
    certain the next answer is: then it is not below 1.
    """

    def nll(log_temperature: float) -> float:
        return negative_log_likelihood(softmax(logits_NC, np.exp(log_temperature)), targets_N)

    all_right = bool((logits_NC.argmax(1) == targets_N).all())
    bounds = (0.0 if all_right else np.log(COLDEST), np.log(HOTTEST))
    return float(np.exp(minimize_scalar(nll, bounds=bounds, method="bounded").x))


def negative_log_likelihood(probabilities_NC: np.ndarray, targets_N: np.ndarray) -> float:
    """Return the mean of -ln of the probability of the truth, nats."""
    truth = probabilities_NC[np.arange(len(targets_N)), targets_N]
    return float(-np.log(np.maximum(truth, np.finfo(float).tiny)).mean())


def adaptive_calibration_error(stated_N: np.ndarray, hit_N: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error with bins of equal count (Nixon et al. 2019), fractions.

    Bins of equal width leave most of a confident network's photos in one bin.
    """
    parts = _parts(stated_N, bins)
    gaps = [len(part) * abs(float(stated_N[part].mean() - hit_N[part].mean())) for part in parts]
    return sum(gaps) / len(stated_N)


def reliability(
    stated_N: np.ndarray,
    hit_N: np.ndarray,
    codes_N: np.ndarray,
    confidence: float,
    bins: int = BINS,
) -> tuple[ReliabilityBin, ...]:
    """Return bins of equal count, ascending: mean stated probability and observed share with its interval."""
    return tuple(
        ReliabilityBin(float(stated_N[part].mean()), proportion(hit_N[part], codes_N[part], confidence))
        for part in _parts(stated_N, bins)
    )


def calibration(
    logits_NC: np.ndarray,
    scaled_NC: np.ndarray,
    targets_N: np.ndarray,
    codes_N: np.ndarray,
    temperatures: Sequence[float],
    positive: int | None,
    confidence: float,
) -> Calibration:
    """Describe calibration of pooled test photos before (`logits`) and after scaling (`scaled`, probabilities)."""
    before = softmax(logits_NC)
    hit = before.argmax(1) == targets_N
    one_hot = np.eye(logits_NC.shape[1])[targets_N]
    sides = [(p, p.max(1)) for p in (before, scaled_NC)]
    ece, ece_scaled = (adaptive_calibration_error(stated, hit) for _, stated in sides)
    brier, brier_scaled = (float(np.square(p - one_hot).sum(1).mean()) for p, _ in sides)
    nll, nll_scaled = (negative_log_likelihood(p, targets_N) for p, _ in sides)
    bins, bins_scaled = (reliability(stated, hit, codes_N, confidence) for _, stated in sides)
    of_mpox: tuple[ReliabilityBin, ...] = ()
    if positive is not None:
        of_mpox = reliability(scaled_NC[:, positive], targets_N == positive, codes_N, confidence)
    return Calibration(
        tuple(temperatures),
        *(ece, ece_scaled, brier, brier_scaled, nll, nll_scaled),
        *(bins, bins_scaled, of_mpox),
    )


def _parts(stated: np.ndarray, bins: int) -> list[np.ndarray]:
    order = np.argsort(stated, kind="stable")
    return [part for part in np.array_split(order, bins) if len(part)]
