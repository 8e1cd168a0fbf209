"""One export for onnxruntime: `model.onnx`, verified as a `.pte` is."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mpox.errors import UserError
from mpox.files import sha256_of, write_json
from mpox.mobile.export.job import MAP_PHOTOS, facts_of, timing
from mpox.mobile.export.map_agreement import map_agreement
from mpox.mobile.export.original import Original, Request, gather_original
from mpox.mobile.export.recipe_trials import Trial, card_of, first_kept, name_of, scratch
from mpox.mobile.file.contract import CONTRACT_FILE, Facts, contract
from mpox.mobile.file.input_tensor import PLANES, as_input
from mpox.mobile.file.onnx import ONNX_RECIPES, export_onnx
from mpox.mobile.file.onnx_layers import layers_of
from mpox.mobile.file.package import ONNX_FILE
from mpox.mobile.int8.quantize import Calibrated
from mpox.mobile.run.golden import GOLDEN, write_golden
from mpox.mobile.run.onnx_model import OnnxModel
from mpox.mobile.run.web_engine import REMEDY, find_web_engine
from mpox.runs.environment import versions
from mpox.runs.opened import OpenedRun

log = logging.getLogger("mpox")
# Weights of 7 bits: two products with 8-bit activations fit into 16 bits, so that no processor clips their sum.
WEIGHT_BITS = 7
HIDDEN_MAPS = (
    "the file's one output is the logits: its nodes compute `maps` too, and mpox.mobile.file.onnx_session.with_maps "
    "makes them an output"
)
# Least share of held-out photos on which all ways of running one file give one answer.
ENGINES_AGREE = 0.995


def export_onnx_run(
    run: OpenedRun, request: Request, finish: Callable[[Path], None], pruned: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Export a run for onnxruntime; arguments, result and errors as of `job.export_run`. `auto` tries int8 first."""
    if request.recipe not in (*ONNX_RECIPES, "auto"):
        raise UserError(f"format=onnx has no recipe={request.recipe}: choose auto, {', '.join(ONNX_RECIPES)}")
    if request.input != PLANES:
        raise UserError(f"format=onnx has no input={request.input}: leave it {PLANES}, or choose format=pte")
    name = f"{name_of(run, request, pruned)}{'' if request.name else '-onnx'}"
    with scratch(request, name) as folder:
        original = gather_original(run, request, pruned=pruned is not None)
        reference = folder / "fp32.onnx"
        of_float = replace(facts_of(original, request, "fp32"), backend="onnxruntime")
        float_found = export_onnx(original.network, reference, of_float)
        facts = {"fp32": of_float}

        def try_recipe(recipe: str) -> Trial:
            path, found = reference, float_found
            if recipe != "fp32":
                path = folder / f"{recipe}.onnx"
                facts[recipe], found = _quantized(original, request, recipe, path)
            report = _report(original, request, recipe, path, found)
            return Trial(report | _beside_float(path, reference, request), path)

        def complete(place: Path, report: dict[str, Any]) -> None:
            _complete(place, original, facts[report["recipe"]], report)
            finish(place)

        order = tuple(reversed(ONNX_RECIPES)) if request.recipe == "auto" else (request.recipe,)
        rounds = tuple((recipe,) for recipe in order)
        extra = {"card": card_of(run), "prune": pruned}
        return first_kept(request, name, ONNX_FILE, rounds, try_recipe, complete, lambda last: "try format=pte", extra)


def _quantized(original: Original, request: Request, recipe: str, path: Path) -> tuple[Facts, dict[str, Any]]:
    """Write an int8 file. Returns its facts and the report of `export_onnx`.

    Raises UserError where no layer of it is int8.
    """
    facts = replace(facts_of(original, request, recipe), backend="onnxruntime")
    network = Calibrated(original.network, original.photos.calibration, weight_bits=WEIGHT_BITS).converted()
    found = export_onnx(network, path, facts, recipe=recipe)
    if not (layers := layers_of(path)).get("int8"):
        raise UserError(f"recipe={recipe} left no int8 layer in the file (it holds {layers}): choose recipe=fp32")
    return facts, found


def _report(original: Original, request: Request, recipe: str, path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Verify a file; returns its report for export.json."""
    log.info("%s: verifying %s for onnxruntime", original.run.name, recipe)
    judged = original.verify(OnnxModel(path).logits, request)
    same = _engines_agree(original, path)
    if (least := min(share for share in same.values() if share is not None)) < ENGINES_AGREE:
        judged["kept"] = False
        shares = ", ".join(f"{name} {share:.1%}" for name, share in same.items() if share is not None)
        judged["reasons"] = [
            *judged["reasons"],
            f"onnxruntime's engines agree on {least:.1%} of photos, not {ENGINES_AGREE:.1%} (usual kernels with "
            f"{shares}): the file saturates on some processor",
        ]
    return {
        "recipe": recipe,
        "backend": "onnxruntime",
        "size_bytes": path.stat().st_size,
        "contents": {"layers": layers_of(path), "operators": found["operators"], "delegated": 1.0},
        "opset": found["opset"],
        "float_difference": found["float_difference"],
        "engines_agree": same,
        **judged,
    }


def _engines_agree(original: Original, path: Path) -> dict[str, float | None]:
    """Share (0..1) of calibration and validation photos on which engines answer as onnxruntime's usual kernels do.

    `precise`: its kernels that cannot saturate; `web`: onnxruntime-web; None where this is not installed.
    """
    pixels = original.run.pixels[original.deciding_rows]
    answers = {kind: OnnxModel(path, precise=kind == "precise").logits(pixels) for kind in ("usual", "precise")}
    engine = find_web_engine()
    if engine is None:
        log.info("not run by onnxruntime-web, which is not installed: %s", REMEDY)
    else:
        answers["web"] = engine.logits(path, as_input(pixels, pixels.shape[1]))
    usual = answers.pop("usual").argmax(1)
    shares: dict[str, float | None] = {name: float(np.mean(usual == one.argmax(1))) for name, one in answers.items()}
    return {"precise": None, "web": None} | shares


def _beside_float(path: Path, reference: Path, request: Request) -> dict[str, Any]:
    """Size against the float32 file, and latency of one photo on this machine, one thread, in interleaved runs."""
    return {"size_against_fp32": path.stat().st_size / reference.stat().st_size, **timing(path, reference, request)}


def _complete(place: Path, original: Original, facts: Facts, report: dict[str, Any]) -> None:
    """Write the files beside the model; adds the maps' agreement, the environment and the hash to `report`."""
    path = place / ONNX_FILE
    model, map_size = OnnxModel(path), None
    write_golden(model, place / GOLDEN)
    if model.explains:
        images = original.run.images(original.test_rows[:MAP_PHOTOS])
        report["maps"] = map_agreement(model, original.run.network, images)
        map_size = model.explain(images[:1].numpy())[1].shape[2:]
    report |= {"no_maps_because": original.no_maps, "environment": versions(), "sha256": sha256_of(path)}
    content = contract(facts, report["sha256"], map_size, original.no_maps)
    content |= {
        "file": ONNX_FILE,
        "opset": report["opset"],
        "batch": "any number of photos; the first axis is dynamic",
    }
    content["golden"] = "golden/: photos, their working pictures and the expected probabilities"
    if "explain" in content["methods"]:
        content["methods"]["explain"]["note"] = HIDDEN_MAPS
    write_json(place / CONTRACT_FILE, content)
    write_json(place / "export.json", report)
