"""The cost columns: counted from the network, timed in training, and read from what an export measured."""

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

from mpox.errors import UserError
from mpox.files import read_record
from mpox.model.cost import cached_cost
from mpox.model.features import features_of
from mpox.runs.processor import in_words
from mpox.runs.run_state import CHECKPOINT, sha256_noted
from mpox.stats.model_result import Costs
from mpox.study.results import ModelRuns, StudyResults

log = logging.getLogger("mpox")


def costs(runs: ModelRuns, results: StudyResults, exports: Path, cache: Path) -> Costs:
    """Return what a model costs; phone figures from the export of one of its runs, where `exports` holds one."""
    timm_name, side = str(runs.config["model"]["timm_name"]), int(runs.config["image_size"])
    try:
        counted = cached_cost(timm_name, len(results.classes), side, features_of(runs.config["model"]), cache)
    except RuntimeError as error:  # what timm raises for an architecture it does not know
        raise UserError(
            f"{runs.name}: timm cannot build {timm_name} ({error}): install the timm it was trained with"
        ) from error
    of_export = _exported(exports, results, runs.name)
    return Costs(counted.parameters, counted.macs, side, runs.seconds, **of_export)


def _exported(exports: Path, results: StudyResults, model: str) -> dict[str, Any]:
    """Return the entries of `Costs` about the smallest export of this model of this study.

    Those of networks that were trained again since are left out, with a warning.
    """
    found = []
    for path in sorted(exports.glob("[!.]*/export.json")):
        report = read_record(path, card=dict | None, latency_ms=int | float | None, arm=dict | None)
        card = report.get("card") or {}
        if (card.get("study"), card.get("model")) == (results.name, model):
            if _is_of_another(path.parent, results.path / model / f"fold-{card.get('fold')}"):
                log.warning(
                    "%s is left out of the costs of %s: its network was trained again since; export it again",
                    *(path.parent, model),
                )
                continue
            sizes = [file.stat().st_size for file in path.parent.glob("*.pte")]
            if sizes:
                instructions, share = arm_instructions(report)
                timed = report.get("latency_ms") is not None
                found.append(
                    {
                        "export_name": path.parent.name,
                        "export_size_mb": min(sizes) / 1e6,
                        "export_latency_ms": report.get("latency_ms"),
                        "export_instructions": instructions,
                        "export_instruction_ratio": share,
                        "export_latency_on": in_words(report.get("latency_on")) if timed else None,
                    }
                )
    names = [entry.name for entry in fields(Costs) if entry.name.startswith("export_")]
    return min(found, key=lambda export: export["export_size_mb"]) if found else dict.fromkeys(names)


def _is_of_another(export: Path, run: Path) -> bool:
    """Whether an export was made of another checkpoint than its run has; what is not recorded is not known to be."""
    path = export / "contract.json"
    constants = read_record(path).get("constants") if path.is_file() else None
    made_of = constants.get("checkpoint_sha256") if isinstance(constants, dict) else None
    return made_of is not None and sha256_noted(run, CHECKPOINT) not in (None, made_of)


def arm_instructions(report: dict[str, Any]) -> tuple[int | None, float | None]:
    """Return the instructions of one photo on Arm64 with 8-bit dot products, and their share of the float32 file's.

    `report` is export.json's content. Both None where the file was not checked on Arm64 or did not pass: a wrong answer
    has no cost.
    """
    arm = report.get("arm")
    if not arm or not arm["passed"]:
        return None, None
    core = arm["cores"]["dotprod"]
    return sum(core["instructions"].values()), core["ratio"]
