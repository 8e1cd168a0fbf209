"""Recipes, by name: each makes the network that is lowered from the trained one."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mpox.errors import UserError
from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.file.operators import OperatorCounts
from mpox.mobile.int8.quantize import Calibrated, quantize_dynamic
from mpox.mobile.run.verify import Bound

log = logging.getLogger("mpox")
# Rounds of `auto` by backend, small, fast and quick to make first: of the recipes of a round that keep the bound the
# smallest file is taken. How much stays in float in int8_mixed, and so its size, is known only when it is made.
AUTO: dict[str, tuple[tuple[str, ...], ...]] = {
    "xnnpack": (("int8_static",), ("int8_mixed", "int8_dynamic"), ("int8_qat",), ("fp32",)),
    "coreml": (("fp16",), ("fp32",)),
    "vulkan": (("fp16",), ("fp32",)),
}
# Training photos on which the units' sensitivities are measured.
SENSITIVITY_PHOTOS = 16


@dataclass(frozen=True)
class RecipePhotos:
    """The photos that recipes may use, images_NCHW float32 0..255; none of them is a test photo.

    `calibration` are training photos; `training(k)` is the batch of step k of a fine-tune.
    """

    calibration: Tensor
    validation: Tensor
    training: Callable[[int], Tensor]


@dataclass(frozen=True)
class RecipeOptions:
    """Steps and rate of int8_qat's fine-tune; the bound for int8_mixed, on training and validation photos."""

    bound: Bound
    tune_steps: int
    tune_rate: float


@dataclass(frozen=True)
class RecipeResult:
    """A network to lower, whether in 16 bits or with dynamic ranges, and the recipe's facts for the report."""

    network: PhoneNetwork
    half: bool = False
    dynamic: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How a network is made, and an arithmetic that some layer of its file must have (None: any)."""

    make: Callable[[PhoneNetwork, RecipePhotos, RecipeOptions], RecipeResult]
    arithmetic: str | None = None


def make(recipe: str, network: PhoneNetwork, photos: RecipePhotos, options: RecipeOptions) -> RecipeResult:
    """Make `recipe` of a float network. Raises UserError for an unknown name, or too few photos."""
    if recipe not in RECIPES:
        raise UserError(f"recipe={recipe} is unknown: choose auto, {', '.join(RECIPES)}")
    return RECIPES[recipe].make(network, photos, options)


def check_arithmetic(recipe: str, counts: OperatorCounts) -> None:
    """Raise UserError where no layer of a file, read back from its bytes, has the recipe's arithmetic."""
    arithmetic = RECIPES[recipe].arithmetic
    if arithmetic is not None and not counts.layers.get(arithmetic):
        raise UserError(
            f"recipe={recipe} left no {arithmetic} layer in the file (it holds {counts.layers or 'none'}): this model "
            "cannot be quantized this way; choose another recipe"
        )


def _fp32(network: PhoneNetwork, _: RecipePhotos, __: RecipeOptions) -> RecipeResult:
    return RecipeResult(network)


def _fp16(network: PhoneNetwork, _: RecipePhotos, __: RecipeOptions) -> RecipeResult:
    return RecipeResult(network, half=True)


def _dynamic(network: PhoneNetwork, _: RecipePhotos, __: RecipeOptions) -> RecipeResult:
    return RecipeResult(quantize_dynamic(network), dynamic=True)


def _static(network: PhoneNetwork, photos: RecipePhotos, _: RecipeOptions) -> RecipeResult:
    calibrated = Calibrated(network, photos.calibration)
    return RecipeResult(calibrated.converted(), facts={"calibration_photos": len(photos.calibration)})


def _mixed(network: PhoneNetwork, photos: RecipePhotos, options: RecipeOptions) -> RecipeResult:
    """Keep the most sensitive units in float, twice as many at each try, until the agreement is kept; then fewer again.

    Agreement is measured on calibration and validation photos, never on test photos.
    """
    calibrated = Calibrated(network, photos.calibration, round_weights=False)
    sensitivities = calibrated.sensitivities(photos.calibration[:SENSITIVITY_PHOTOS])
    ranked = [unit for unit in sensitivities if unit in set(calibrated.units.values())]
    others = torch.cat([photos.calibration, photos.validation])
    expected = _logits(network, others).argmax(1).numpy()
    tried: list[dict[str, Any]] = []
    last: dict[bool, Calibrated] = {}

    def agrees(count: int) -> bool:
        """Whether the network with the first `count` units in float agrees often enough."""
        made = Calibrated(network, photos.calibration, ranked[:count])
        agreement = float(np.mean(expected == made.logits(others).argmax(1).numpy()))
        enough = agreement >= options.bound.agreement
        tried.append({"units": count, "agreement": agreement})
        log.info("int8_mixed: %d of %d units in float, agreement %.3f", count, len(ranked), agreement)
        last[enough] = made
        return enough

    kept = fewest(agrees, len(ranked))
    facts = {
        "calibration_photos": len(photos.calibration),
        "float_units": ranked[:kept],
        "tried": tried,
        "sensitivities": sensitivities,
    }
    return RecipeResult(last[max(last)].converted(), facts=facts)  # one that agrees, where there is one


def fewest(enough: Callable[[int], bool], most: int) -> int:
    """Return nearly the smallest number that is `enough`: 1, 2, 4 … of at most `most`, then halfway back while it is.

    It is at most an eighth too large where more never becomes too little. Where none is enough it is the last that was
    tried, the largest of 1, 2, 4 … within `most`.
    """
    found = 1
    while not (reached := enough(found)) and 2 * found <= most:
        found *= 2
    missed = found // 2
    while reached and found - missed > max(1, found // 8):
        middle = (missed + found) // 2
        if enough(middle):
            found = middle
        else:
            missed = middle
    return found


def _qat(network: PhoneNetwork, photos: RecipePhotos, options: RecipeOptions) -> RecipeResult:
    """Tune the network of int8_static, and keep the better of the two on calibration and validation photos.

    The better one agrees on more photos; among equals, its probabilities are nearer to the network's.
    """
    calibrated = Calibrated(network, photos.calibration)
    others = torch.cat([photos.calibration, photos.validation])
    expected = _logits(network, others)
    before, network_before = _closeness(calibrated.logits(others), expected), calibrated.converted()
    calibrated.tune(photos.training, options.tune_steps, options.tune_rate)
    after = _closeness(calibrated.logits(others), expected)
    better = (after["agreement"], -after["divergence"]) > (before["agreement"], -before["divergence"])
    log.info("int8_qat: %s before tuning, %s after it", before, after)
    facts = {
        "calibration_photos": len(photos.calibration),
        "steps": options.tune_steps,
        "rate": options.tune_rate,
        "before_tuning": before,
        "after_tuning": after,
        "kept": "after tuning" if better else "before tuning",
    }
    return RecipeResult(calibrated.converted() if better else network_before, facts=facts)


def _closeness(given_NC: Tensor, expected_NC: Tensor) -> dict[str, float]:
    """Agreement (0..1) of an int8 network with its float one, and mean Kullback-Leibler divergence from it."""
    own, other = expected_NC.log_softmax(1), given_NC.log_softmax(1)
    divergence = F.kl_div(other, own, log_target=True, reduction="batchmean")
    agreement = (given_NC.argmax(1) == expected_NC.argmax(1)).double().mean()
    return {"agreement": round(float(agreement), 4), "divergence": round(float(divergence), 6)}


def _logits(network: PhoneNetwork, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(part)[0] for part in images.split(8)])


RECIPES = {
    "fp32": Recipe(_fp32),
    "fp16": Recipe(_fp16),
    "int8_dynamic": Recipe(_dynamic, arithmetic="int8_dynamic"),
    "int8_static": Recipe(_static, arithmetic="int8"),
    "int8_mixed": Recipe(_mixed, arithmetic="int8"),
    "int8_qat": Recipe(_qat, arithmetic="int8"),
}
