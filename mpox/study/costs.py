"""The cost columns: counted from the network, timed in training, and read from what an export measured."""

from pathlib import Path
from typing import Any

from mpox.errors import UserError
from mpox.files import read_json
from mpox.model.cost import cached_cost
from mpox.stats.model_result import Costs
from mpox.study.results import ModelRuns, StudyResults


def costs(runs: ModelRuns, results: StudyResults, exports: Path, cache: Path) -> Costs:
    """Return what a model costs; phone figures from the export of one of its runs, where `exports` holds one."""
    timm_name, side = str(runs.config["model"]["timm_name"]), int(runs.config["image_size"])
    try:
        counted = cached_cost(timm_name, len(results.classes), side, cache)
    except RuntimeError as error:  # what timm raises for an architecture it does not know
        raise UserError(
            f"{runs.name}: timm cannot build {timm_name} ({error}): install the timm it was trained with"
        ) from error
    exported = _exported(exports, results.name, runs.name)
    return Costs(counted.parameters, counted.macs, side, runs.seconds, *exported)


def _exported(
    exports: Path, study: str, model: str
) -> tuple[str | None, float | None, float | None, int | None, float | None]:
    """The export's fields of `Costs`, of the smallest export of this model of this study."""
    found = []
    for path in sorted(exports.glob("[!.]*/export.json")):
        report = read_json(path)
        card = report.get("card", {})
        if (card.get("study"), card.get("model")) == (study, model):
            sizes = [file.stat().st_size for file in path.parent.glob("*.pte")]
            if sizes:
                found.append((path.parent.name, min(sizes) / 1e6, report.get("latency_ms"), *_instructions(report)))
    return min(found, key=lambda export: export[1]) if found else (None, None, None, None, None)


def _instructions(report: dict[str, Any]) -> tuple[int | None, float | None]:
    """What the check on Arm64 kernels counted, where the file passed it: a wrong answer is no cost."""
    arm = report.get("arm")
    if not arm or not arm["passed"]:
        return None, None
    core = arm["cores"]["dotprod"]
    return sum(core["instructions"].values()), core["ratio"]
