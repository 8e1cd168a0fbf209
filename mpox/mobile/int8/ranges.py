"""Ranges of int8 arithmetic: observed on photos, chosen once for the least error, then frozen; and simulated rounding.

Both observers have three modes: watch, round (return the values of int8, with straight-through gradients), and pass. So
one prepared network serves calibration, the measurement of sensitivities, and fine-tuning.
"""

import math
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torchao.quantization.pt2e import UniformQuantizationObserverBase

# Values kept of each photo at each point of the network, drawn at random.
SAMPLED = 1024
BINS = 8192
# Shares of the observed extremes among which the range of least error is searched, on each side.
SHARES = torch.logspace(0, -2, 70)
# Least step of int8: XNNPACK requires the product of two steps over a third within 2**-32 .. 2**8.
SMALLEST_STEP = 2.0**-20
# Share of a step within which a weight is rounded to that step for certain.
WITHIN = 0.49
# Mean square of a photo without any activation.
TINY = 1e-12


class Mode(Enum):
    """What an observer does with the values it is given."""

    WATCH = "watch"
    ROUND = "round"
    PASS = "pass"


class ActivationRange(UniformQuantizationObserverBase):
    """Range of one activation tensor (per tensor, affine).

    Chosen for the least squared error over samples of equal number from every photo, each photo's error taken as a
    share of its own mean square. So every photo has the same weight, and more photos make the choice more certain, not
    the range wider: otherwise one photo in a hundred with fifty times larger activations would set the range. Values
    below `lowest` count as that.
    """

    def __init__(self, lowest: float = -math.inf, **options: Any) -> None:
        super().__init__(eps=SMALLEST_STEP, **options)
        self.lowest = lowest
        self.mode = Mode.WATCH
        self.samples: list[Tensor] = []
        self.register_buffer("step", torch.ones(1))
        self.register_buffer("zero", torch.zeros(1, dtype=torch.int64))

    def forward(self, values: Tensor) -> Tensor:
        """Return `values` (photos first), rounded in Mode.ROUND."""
        if self.mode is Mode.WATCH:
            limited = values.detach().clamp(min=self.lowest)
            rows = limited.flatten(1) if limited.ndim > 1 else limited.reshape(1, -1)
            self.samples += [_sample(row, seed) for seed, row in enumerate(rows, len(self.samples))]
        elif self.mode is Mode.ROUND:
            step, zero = float(self.step), int(self.zero)
            return torch.fake_quantize_per_tensor_affine(values, step, zero, self.quant_min, self.quant_max)
        return values

    def freeze(self) -> None:
        """Choose the range from the observed samples, and drop these."""
        if self.samples:
            weights = [torch.full_like(one, 1 / max(float(one.square().mean()), TINY)) for one in self.samples]
            values, steps = torch.cat(self.samples), self.quant_max - self.quant_min
            low, high = least_error_range(values, steps, torch.cat(weights))
            self.step, self.zero = self._calculate_qparams(low, high)
            self.step, self.zero = self.step.reshape(1), self.zero.reshape(1)
        self.samples = []

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Return step and zero point."""
        if self.samples:
            self.freeze()
        return self.step, self.zero


class WeightRange(UniformQuantizationObserverBase):
    """Range of one weight tensor (a channel, symmetric): the extremes of the current weights.

    Once `rounded`, the weights are on their steps, and the steps no longer change; nor do they while `tuned`, so that
    each weight moves against the same steps.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(eps=SMALLEST_STEP, **{name: value for name, value in options.items() if name != "ch_axis"})
        self.ch_axis = options.get("ch_axis", 0)
        self.mode, self.rounded, self.tuned = Mode.WATCH, False, False
        self.register_buffer("step", torch.ones(1))
        self.register_buffer("zero", torch.zeros(1, dtype=torch.int64))

    def forward(self, weights: Tensor) -> Tensor:
        """Return `weights`, rounded in Mode.ROUND."""
        if self.rounded:
            return weights
        if not self.tuned:
            flat = weights.detach().transpose(0, self.ch_axis).flatten(1)
            self.step, self.zero = self._calculate_qparams(flat.amin(1), flat.amax(1))
        if self.mode is not Mode.ROUND:
            return weights
        return torch.fake_quantize_per_channel_affine(
            weights, self.step, self.zero.int(), self.ch_axis, self.quant_min, self.quant_max
        )

    def freeze(self) -> None:
        """Nothing to choose."""

    def begin_tuning(self, weights: Tensor, exact: Tensor) -> Tensor:
        """Keep the steps from now on; return what to tune: `exact` (same shape), within the steps of `weights`.

        In Mode.ROUND they are rounded to what `weights` are rounded to, and those that were rounded away from their
        nearest step are close to leaving theirs.
        """
        steps = self.step.view(*[-1 if axis == self.ch_axis else 1 for axis in range(weights.ndim)])
        self.rounded, self.tuned = False, True
        on_steps = (weights / steps).round() * steps
        return on_steps + (exact - on_steps).clamp(-WITHIN * steps, WITHIN * steps)

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Return step and zero point a channel."""
        return self.step, self.zero


def observers(network: nn.Module) -> dict[str, ActivationRange | WeightRange]:
    """Return the observers of a prepared network by name."""
    return {name: one for name, one in network.named_modules() if isinstance(one, ActivationRange | WeightRange)}


def set_mode(network: nn.Module, mode: Mode) -> None:
    """Put all observers into one mode."""
    for observer in observers(network).values():
        observer.mode = mode


def least_error_range(values: Tensor, steps: int, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return (low, high) that minimise the weighted squared error of rounding `values` (1-D) to `steps` equal steps.

    Searched on a histogram, one side after the other, twice; the range always includes zero. Low and high are 0-d
    tensors.
    """
    low, high = values.min(), values.max()
    places = ((values - low) / (high - low).clamp(min=TINY) * BINS).long().clamp(max=BINS - 1)
    counts = torch.bincount(places, weights, minlength=BINS)
    centres = low + (high - low) * (torch.arange(BINS) + 0.5) / BINS
    used = counts > 0
    counts, centres = counts[used], centres[used]
    best_low, best_high = low, high
    for _ in range(2):
        best_low = _best(centres, counts, low * SHARES, best_high.expand(len(SHARES)), steps)[0]
        best_high = _best(centres, counts, best_low.expand(len(SHARES)), high * SHARES, steps)[1]
    return best_low, best_high


def _best(centres: Tensor, counts: Tensor, lows: Tensor, highs: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the pair (lows[k], highs[k]) of least squared error."""
    lows, highs = lows.clamp(max=0), highs.clamp(min=0)
    step = ((highs - lows) / steps).clamp(min=SMALLEST_STEP)[:, None]
    zero = (-lows[:, None] / step).round()
    rounded = (((centres / step).round() + zero).clamp(0, steps) - zero) * step
    errors = ((rounded - centres).square() * counts).sum(1)
    best = int(errors.argmin())
    return lows[best], highs[best]


def _sample(values: Tensor, seed: int) -> Tensor:
    """Draw SAMPLED of one photo's values."""
    if values.numel() <= SAMPLED:
        return values.clone()
    generator = torch.Generator().manual_seed(seed)
    return values[torch.randint(values.numel(), (SAMPLED,), generator=generator)]
