"""One export from start to end: each recipe is made, lowered and verified; then the files beside the model."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from mpox.files import sha256_of, write_json
from mpox.mobile.export.map_agreement import map_agreement
from mpox.mobile.export.original import Original, Request, gather_original
from mpox.mobile.export.recipe_trials import Trial, card_of, first_kept, name_of, scratch
from mpox.mobile.file.contract import CONTRACT_FILE, RUNNABLE, Facts, constants, contract
from mpox.mobile.file.input_tensor import PLANES
from mpox.mobile.file.lower import lower
from mpox.mobile.file.operators import count_operators
from mpox.mobile.file.package import MODEL_FILE
from mpox.mobile.int8.recipes import AUTO, RecipeOptions, RecipeResult, check_arithmetic, make
from mpox.mobile.run.golden import GOLDEN, write_golden
from mpox.mobile.run.measure import opener, ratio, side_by_side
from mpox.mobile.run.run_model import NetworkModel
from mpox.mobile.run.runtime import PhoneModel
from mpox.runs.environment import versions
from mpox.runs.opened import OpenedRun
from mpox.runs.processor import processor_facts

log = logging.getLogger("mpox")
# Photos on which the maps are compared with PyTorch's.
MAP_PHOTOS = 8


def export_run(
    run: OpenedRun, request: Request, finish: Callable[[Path], None], pruned: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Export the network of a run into `<exports_dir>/<name>/`; return the content of its export.json.

    `finish` is called with the folder when all but its sums are written; files that it adds belong to the export.
    `pruned` is the report of `mpox.mobile.export.prune.prune_run`, where the run to export is a pruned one.

    Raises MissedBoundError, leaving only `<name>.missed.json`, where no file keeps the bound; UserError for photos that
    are missing, a recipe that this backend or model does not support, or a folder that exists.
    """
    name = name_of(run, request, pruned)
    with scratch(request, name) as folder:
        original = gather_original(run, request, pruned=pruned is not None)
        reference = _float_file(original, request, pruned)

        def try_recipe(recipe: str) -> Trial:
            path = folder / f"{recipe}.pte"
            return Trial(_try_recipe(original, request, recipe, path, reference), path)

        def complete(place: Path, report: dict[str, Any]) -> None:
            _complete(place, original, report, request)
            finish(place)

        extra = {"card": card_of(run), "prune": pruned}
        return first_kept(
            request, name, MODEL_FILE, request.rounds, try_recipe, complete, _advice(request.backend), extra
        )


def _float_file(original: Original, request: Request, pruned: dict[str, Any] | None) -> Path | None:
    """The same network as a float32 file, kept for the next export of this checkpoint: the reference for sizes."""
    if request.backend != RUNNABLE:
        return None
    key = tensors_sha256(original.run.network) if pruned else sha256_of(original.run.path / "checkpoint.ckpt")
    path = request.exports_dir / ".fp32" / f"{key[:16]}.pte"
    if not path.is_file():
        facts = replace(facts_of(original, request, "fp32"), input=PLANES)
        # Without maps: their method shares all weights but the classifier's.
        _lower(RecipeResult(original.network), facts, path, maps=False)
    return path


def _try_recipe(
    original: Original, request: Request, recipe: str, path: Path, reference: Path | None
) -> dict[str, Any]:
    """Make, write, read back and verify the file of one recipe."""
    log.info("%s: making, lowering and verifying %s for %s", original.run.name, recipe, request.backend)
    made = make(
        recipe, original.network, original.photos, RecipeOptions(request.bound, request.tune_steps, request.tune_rate)
    )
    facts = facts_of(original, request, recipe)
    _lower(made, facts, path, maps=original.no_maps is None)
    counts = count_operators(path)
    report = {
        "recipe": recipe,
        "backend": request.backend,
        "input": request.input,
        "size_bytes": path.stat().st_size,
        "size_against_fp32": reference and path.stat().st_size / reference.stat().st_size,
        "contents": asdict(counts) | {"delegated": counts.delegated},
        "made": made.facts,
    }
    if request.backend != RUNNABLE:
        note = f"lowered for {request.backend} and not run: only a device can. Verify it there with its golden set"
        return report | {
            "kept": True,
            "reasons": [],
            "verification": None,
            "note": note,
            "latency_ms": None,
            "latency_on": None,
        }
    check_arithmetic(recipe, counts)
    found = original.verify(PhoneModel(path, threads=1).logits, request)
    itself = original.self_agreement
    if not found["kept"] and itself < request.bound.agreement:
        why = f"the network itself changes {1 - itself:.1%} of its predictions when pixels move by half a level of 255"
        found["reasons"] = [*found["reasons"], why]
    return report | found | {"self_agreement": itself} | timing(path, reference, request)


def timing(path: Path, reference: Path | None, request: Request) -> dict[str, Any]:
    """Latency of one photo on this machine, one thread, beside the float32 file in interleaved runs."""
    if reference is None or not request.timing_rounds:
        return {"latency_ms": None, "latency_against_fp32": None, "latency_on": None}
    taken = side_by_side({"fp32": opener(reference), "file": opener(path)}, threads=1, rounds=request.timing_rounds)
    against = ratio(taken["file"]["round_ms"], taken["fp32"]["round_ms"])
    return {
        "latency_ms": taken["file"]["median_ms"],
        "fp32_latency_ms": taken["fp32"]["median_ms"],
        "latency_against_fp32": against,
        "latency_on": processor_facts(threads=1),
    }


def _lower(made: RecipeResult, facts: Facts, path: Path, *, maps: bool) -> None:
    lower(
        made.network,
        path,
        image_size=facts.image_size,
        temperature=facts.rule.temperature,
        maps=maps,
        constants=constants(facts),
        form=facts.input,
        backend=facts.backend,
        half=made.half,
        dynamic=made.dynamic,
    )


def facts_of(original: Original, request: Request, recipe: str) -> Facts:
    """Return the facts that a file of this recipe carries."""
    card = original.run.card
    return Facts(
        labels=card.classes,
        image_size=card.record.image_size,
        interpolation=card.record.interpolation,
        resize=card.record.resize,
        positive=card.positive,
        rule=original.rule,
        recipe=recipe,
        backend=request.backend,
        input=request.input,
        study=card.study,
        model=card.model,
        fold=card.fold,
        splits_sha256=card.splits_sha256,
        checkpoint_sha256=sha256_of(original.run.path / "checkpoint.ckpt"),
    )


def _complete(place: Path, original: Original, report: dict[str, Any], request: Request) -> None:
    """Write the files beside the model; adds the maps' agreement, the environment and the hash to `report`."""
    path = place / MODEL_FILE
    facts = facts_of(original, request, report["recipe"])
    map_size = None
    if request.backend != RUNNABLE:
        network = NetworkModel(
            original.network, facts.labels, facts.interpolation, facts.resize, facts.rule.temperature
        )
        write_golden(network, place / GOLDEN, of_network=True)
    else:
        model = PhoneModel(path, threads=1)
        write_golden(model, place / GOLDEN)
        if original.no_maps is None:
            images = original.run.images(original.test_rows[:MAP_PHOTOS])
            report["maps"] = map_agreement(model, original.run.network, images)
            map_size = model.explain(images[:1].numpy())[1].shape[2:]
    report["no_maps_because"] = original.no_maps
    report |= {"environment": versions(), "sha256": sha256_of(path)}
    write_json(place / CONTRACT_FILE, contract(facts, report["sha256"], map_size, original.no_maps))
    write_json(place / "export.json", report)


def tensors_sha256(network: nn.Module) -> str:
    """Return the SHA-256 of a network's tensors, in order."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _advice(backend: str) -> Callable[[dict[str, Any]], str]:
    """Return the advice after the last recipe that missed the bound."""
    order = [recipe for one in AUTO[backend] for recipe in one]

    def advice(last: dict[str, Any]) -> str:
        following = order[order.index(last["recipe"]) + 1 :] if last["recipe"] in order else order[-1:]
        return f"try recipe={following[0]}" if following else "the network itself is too uncertain: train it longer"

    return advice
