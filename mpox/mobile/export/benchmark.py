"""Cost of an export at run time: on this machine, beside onnxruntime and PyTorch in interleaved runs, or on a phone."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

from mpox.errors import UserError
from mpox.mobile.export.onnx_job import WEIGHT_BITS
from mpox.mobile.file.contract import facts_in
from mpox.mobile.file.input_tensor import PLANES
from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.file.onnx import export_onnx
from mpox.mobile.file.package import MODEL_FILE, check_made_of
from mpox.mobile.int8.quantize import Calibrated
from mpox.mobile.run.adb import find_phone, time_on_phone
from mpox.mobile.run.float_file import float_file, is_pruned
from mpox.mobile.run.measure import Opener, cores, opener, ratio, side_by_side, threads_kept
from mpox.mobile.run.memory import peak_memory
from mpox.mobile.run.runtime import PhoneModel
from mpox.runs.opened import OpenedRun
from mpox.runs.processor import processor_facts
from mpox.temporary import scratch

# Training photos from which onnxruntime's int8 ranges are chosen.
CALIBRATION_PHOTOS = 64
EAGER = "PyTorch eager"


def phone_benchmark(
    export: str | Path,
    *,
    device: str = "host",
    run: OpenedRun | None = None,
    threads: list[int] | None = None,
    rounds: int = 10,
    runs: int = 10,
    runner: str | Path | None = None,
    adb: str = "adb",
    serial: str | None = None,
) -> dict[str, Any]:
    """Measure the export in the folder `export`; return plain values to be written as JSON.

    `device=host`: file size, peak memory, load and first run in a fresh process, then latency at each of `threads`
    (default: one, and all cores) in interleaved runs, of the file, its float32 version where the exporter kept it, and
    with `run` (its finished run, opened) onnxruntime fp32 and int8 and eager PyTorch. `device=adb`: a phone, by
    ExecuTorch's `runner`; see `mpox.mobile.run.adb`. Raises UserError for a folder that is no export, another run than
    the export's, an unknown device, or a phone that cannot be used.
    """
    place = Path(export).expanduser()
    model = PhoneModel(place)
    about = {"name": place.name, "model": model.facts["model"], "recipe": model.facts["recipe"], "device": device}
    if device == "adb":
        phone = find_phone(adb, serial)
        where = Path(runner).expanduser() if runner is not None else None
        how: dict[str, Any] = {"form": model.input, "runs": rounds * runs}
        timed = [time_on_phone(place, phone, where, threads=n, **how) for n in threads or [1]]
        return {**about, "size_bytes": model.path.stat().st_size, "on_phone": timed}
    if device != "host":
        raise UserError(f"device={device} is unknown: choose host (this machine) or adb (a phone)")
    with scratch() as folder:
        files = {f"ExecuTorch {about['recipe']}": place / MODEL_FILE}
        if (reference := float_file(place, model)) is not None:
            files["ExecuTorch fp32"] = reference
        if run is not None:
            files |= _other_engines(run, model, place, folder)
        return {**about, "host": _host(), **_on_host(files, threads or sorted({1, cores()}), rounds, runs)}


def _on_host(files: dict[str, Path], threads: list[int], rounds: int, runs: int) -> dict[str, Any]:
    first = next(iter(files))
    engines: dict[str, dict[str, Any]] = {}
    for name, path in files.items():
        engines[name] = {"size_bytes": path.stat().st_size, **peak_memory(path), "latency": {}}
    openers: dict[str, Opener] = {name: opener(path) for name, path in files.items()}
    with threads_kept():
        for number in threads:
            taken = side_by_side(openers, threads=number, rounds=rounds, runs=runs)
            for name, times in taken.items():
                against = ratio(times["round_ms"], taken[first]["round_ms"])
                engines[name]["latency"][str(number)] = {**times, "against_first": against}
    return {"rounds": rounds, "runs": runs, "engines": engines}


def _other_engines(run: OpenedRun, model: PhoneModel, place: Path, folder: Path) -> dict[str, Path]:
    """The run's checkpoint, and its network for onnxruntime, written into `folder`."""
    checkpoint = run.path / "checkpoint.ckpt"
    check_made_of(place, model.facts["checkpoint_sha256"], run.path)
    note = " (unpruned)" if is_pruned(place) else ""
    size = run.card.record.image_size
    network = PhoneNetwork(run.network.cpu(), image_size=size, maps=False)
    facts = facts_in(model.facts, backend="onnxruntime", input=PLANES)
    photos: torch.Tensor = run.images(run.rows("train")[:CALIBRATION_PHOTOS]).cpu()
    files = {}
    rounded = Calibrated(network, photos, weight_bits=WEIGHT_BITS).converted()
    for recipe, made in (("fp32", network), ("int8_static", rounded)):
        path = folder / f"{recipe}.onnx"
        export_onnx(made, path, facts, recipe=recipe)
        files[f"onnxruntime {recipe.partition('_')[0]}{note}"] = path
    return files | {f"{EAGER}{note}": checkpoint}


def _host() -> dict[str, Any]:
    return {
        **processor_facts(),
        "cores": cores(),
        "system": platform.platform(),
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
    }
