"""The ways from a trained network to the one that is written, by name; each returns what to lower."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpox.errors import UserError
from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.file.operators import Contents
from mpox.mobile.int8.quantize import Calibrated, quantize_dynamic
from mpox.mobile.run.verify import Bound

log = logging.getLogger("mpox")
# `auto` by backend: smallest and fastest first, and among equals the one that takes least to make.
AUTO = {
    "xnnpack": ("int8_static", "int8_mixed", "int8_qat", "int8_dynamic", "fp32"),
    "coreml": ("fp16", "fp32"),
    "vulkan": ("fp16", "fp32"),
}
# Training photos on which the units' sensitivities are measured.
SENSITIVITY_PHOTOS = 16


@dataclass(frozen=True)
class Photos:
    """What recipes may look at, images_NCHW float32 0..255: `calibration` training photos, and validation photos.

    `training(k)` is the batch of step k of a fine-tune. Test photos are not among them.
    """

    calibration: Tensor
    validation: Tensor
    training: Callable[[int], Tensor]


@dataclass(frozen=True)
class Options:
    """Steps and rate of the fine-tune of int8_qat; what int8_mixed must keep on photos that are not the test's."""

    bound: Bound
    tune_steps: int
    tune_rate: float


@dataclass(frozen=True)
class Made:
    """A network to lower, whether in 16 bits or with dynamic ranges, and what was done (for the report)."""

    network: PhoneNetwork
    half: bool = False
    dynamic: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How a network is made, and the arithmetic of layers that its file must hold (None: nothing is promised)."""

    make: Callable[[PhoneNetwork, Photos, Options], Made]
    promises: str | None = None


def make(recipe: str, network: PhoneNetwork, photos: Photos, options: Options) -> Made:
    """Make `recipe` of a float network. Raises UserError for an unknown name, or too few photos."""
    if recipe not in RECIPES:
        raise UserError(f"recipe={recipe} is unknown: choose auto, {', '.join(RECIPES)}")
    return RECIPES[recipe].make(network, photos, options)


def check_promise(recipe: str, contents: Contents) -> None:
    """Raise UserError where a file holds none of what its recipe's name says, read back from its bytes."""
    promised = RECIPES[recipe].promises
    if promised is not None and not contents.layers.get(promised):
        raise UserError(
            f"recipe={recipe} left no {promised} layer in the file (it holds {contents.layers or 'none'}): this model "
            "cannot be quantized so; choose another recipe"
        )


def _fp32(network: PhoneNetwork, _: Photos, __: Options) -> Made:
    return Made(network)


def _fp16(network: PhoneNetwork, _: Photos, __: Options) -> Made:
    return Made(network, half=True)


def _dynamic(network: PhoneNetwork, _: Photos, __: Options) -> Made:
    return Made(quantize_dynamic(network), dynamic=True)


def _static(network: PhoneNetwork, photos: Photos, _: Options) -> Made:
    calibrated = Calibrated(network, photos.calibration)
    return Made(calibrated.converted(), facts={"calibration_photos": len(photos.calibration)})


def _mixed(network: PhoneNetwork, photos: Photos, options: Options) -> Made:
    """Keep the most sensitive units in float, twice as many at each try, until agreement holds off the test photos."""
    calibrated = Calibrated(network, photos.calibration, round_weights=False)
    harm = calibrated.sensitivities(photos.calibration[:SENSITIVITY_PHOTOS])
    ranked = [unit for unit in harm if unit in set(calibrated.units.values())]
    others = torch.cat([photos.calibration, photos.validation])
    answers = _answers(network, others)
    tried = []
    count = 1
    while True:
        kept = ranked[:count]
        calibrated = Calibrated(network, photos.calibration, kept)
        agreement = float(np.mean(answers == calibrated.logits(others).argmax(1).numpy()))
        tried.append({"units": len(kept), "agreement": agreement})
        log.info("int8_mixed: %d of %d units in float, agreement %.3f", len(kept), len(ranked), agreement)
        if agreement >= options.bound.agreement or 2 * count > len(ranked):
            break
        count *= 2
    facts = {"calibration_photos": len(photos.calibration), "float_units": kept, "tried": tried, "sensitivities": harm}
    return Made(calibrated.converted(), facts=facts)


def _qat(network: PhoneNetwork, photos: Photos, options: Options) -> Made:
    calibrated = Calibrated(network, photos.calibration, round_weights=False)
    calibrated.tune(photos.training, options.tune_steps, options.tune_rate)
    facts = {"calibration_photos": len(photos.calibration)}
    return Made(calibrated.converted(), facts=facts | {"steps": options.tune_steps, "rate": options.tune_rate})


def _answers(network: PhoneNetwork, images: Tensor) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([network(part)[0] for part in images.split(8)]).argmax(1).numpy()


RECIPES = {
    "fp32": Recipe(_fp32),
    "fp16": Recipe(_fp16),
    "int8_dynamic": Recipe(_dynamic, promises="int8_dynamic"),
    "int8_static": Recipe(_static, promises="int8"),
    "int8_mixed": Recipe(_mixed, promises="int8"),
    "int8_qat": Recipe(_qat, promises="int8"),
}
