"""An exported file on Arm64 kernels, without a phone: its answers on three kinds of cores, and what they cost there.

The kernels that XNNPACK takes depend on the core: with 8-bit matrix products (i8mm), with 8-bit dot products, or with
neither, as most cheap phones. Retired instructions are a cost that noise cannot touch: the same file gives the same
number on any machine. They leave out what caches, memory and clocks do.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpox.errors import UserError
from mpox.mobile.file.contract import RUNNABLE
from mpox.mobile.run.float_file import float_file
from mpox.mobile.run.runtime import PhoneModel
from mpox.mobile.sdk.program import Answers, answer, count, plugin
from mpox.mobile.sdk.tools import Target, emulator_version, version
from mpox.stats.pooled import softmax

# Cores by what they have, and the emulator's names for them. Without SME: some qemu 7.2 computed int8 wrongly with it.
CORES = {"i8mm": "max,sve=off,sme=off", "dotprod": "cortex-a76", "neither": "cortex-a53"}
# The first version of qemu whose `max` core can leave SME out.
OLDEST = (7, 1)
# Least share of photos with the same answer as on this machine, and largest difference of a golden probability.
AGREEMENT, PROBABILITY = 0.995, 0.02


@dataclass(frozen=True)
class CheckPhotos:
    """Working pictures (N, S, S, 3) uint8, of which the first are the golden set; the others are `of` some kind.

    `golden` are the expected probabilities (G, C), `network` the network's own (N - G, C) where it was run.
    """

    pictures: np.ndarray
    golden: np.ndarray
    of: str
    network: np.ndarray | None = None


def check_on_arm(folder: Path, photos: CheckPhotos, target: Target) -> dict[str, Any]:
    """Run the export in `folder` on each of CORES; return plain values for its export.json, as `arm`.

    By core: agreement and largest |Δp| with this machine's answers on the same file, largest |Δp| on the golden set,
    retired instructions of one photo by kind, bytes of heap at the peak, the same of the float32 file and the ratio of
    instructions (None where the exporter kept no such file). `same_bits`: whether the cores agree to the last bit.
    `passed`, and `reasons` where not. A target without emulator is this machine, whatever the core's name, and counts
    nothing. Raises UserError for files that cannot be run, and for an emulator that is too old.
    """
    start = time.monotonic()
    emulator = _emulator(target)
    model = PhoneModel(folder, threads=1)
    if model.facts["format"] == 1:
        raise UserError(f"{folder} is of an earlier version, whose first output is no logits: export it again")
    reference = float_file(folder, model)
    tensors, here = model.as_input(photos.pictures), model.probabilities(photos.pictures)
    found = {name: answer(target, model.path, tensors, cpu=cpu) for name, cpu in CORES.items()}
    cores = {
        name: _compared(one, here, photos) | _cost(target, model.path, reference, tensors[:1], CORES[name])
        for name, one in found.items()
    }
    outputs = [one.outputs for one in found.values()]
    reasons = [f"{name}: {reason}" for name, core in cores.items() for reason in _reasons(core)]
    n_golden = len(photos.golden)
    return {
        "passed": not reasons,
        "reasons": reasons,
        "photos": {"golden": n_golden, "others": len(here) - n_golden, "of": photos.of},
        "cores": cores,
        "same_bits": all(np.array_equal(outputs[0], other) for other in outputs[1:]),
        "network": None if photos.network is None else _difference(softmax(outputs[0])[n_golden:], photos.network),
        "backend": RUNNABLE,
        "executorch": version(),
        "qemu": emulator,
        "seconds": round(time.monotonic() - start, 1),
    }


def _emulator(target: Target) -> str | None:
    if not target.emulator:
        return None
    found = emulator_version(target)
    text, oldest = (".".join(map(str, one)) for one in (found, OLDEST))
    if found < OLDEST:
        raise UserError(f"qemu {text} is too old: install {oldest} or newer (package qemu-user)")
    return text


def _compared(found: Answers, here: np.ndarray, photos: CheckPhotos) -> dict[str, Any]:
    probabilities = softmax(found.outputs)
    n_golden = len(photos.golden)
    return {
        **_difference(probabilities, here),
        "golden_max_delta_p": float(np.abs(probabilities[:n_golden] - photos.golden).max()),
        "heap_bytes": found.heap_bytes,
    }


def _difference(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    return {
        "agreement": float(np.mean(one.argmax(1) == other.argmax(1))),
        "max_delta_p": float(np.abs(one - other).max()),
    }


def _reasons(core: dict[str, Any]) -> list[str]:
    reasons = []
    if core["agreement"] < AGREEMENT:
        reasons.append(f"it agrees with this machine on {core['agreement']:.1%} of photos, not {AGREEMENT:.1%}")
    if core["golden_max_delta_p"] > PROBABILITY:
        reasons.append(f"a golden probability differs by {core['golden_max_delta_p']:.3f}, more than {PROBABILITY}")
    return reasons


def _cost(target: Target, file: Path, reference: Path | None, tensor: np.ndarray, cpu: str) -> dict[str, Any]:
    """Instructions of one photo, after a first one; float32 files take planes whatever form the file takes."""
    costs: dict[str, Any] = dict.fromkeys(("instructions", "fp32_instructions", "fp32_heap_bytes", "ratio"))
    if not target.emulator:
        return costs
    counter = plugin(target)
    own = count(target, file, tensor, cpu=cpu, plugin=counter).instructions
    assert own is not None
    costs["instructions"] = own
    if reference is not None:
        planes = tensor if tensor.shape[1] == 3 else tensor.transpose(0, 3, 1, 2).astype("float32")
        found = count(target, reference, planes, cpu=cpu, plugin=counter)
        assert found.instructions is not None
        costs |= {"fp32_instructions": found.instructions, "fp32_heap_bytes": found.heap_bytes}
        costs["ratio"] = sum(own.values()) / sum(found.instructions.values())
    return costs
