"""Measure the parts of a study against their limits and against the usual script. See `python -m benchmarks --help`."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig

from benchmarks import growth, jobs, launchers, packing, report, stages, study, training
from benchmarks.commands import Photos, generated
from mpox.config import plain
from mpox.console import results_console
from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.runs import environment
from mpox.training.hydra_task import quieten

log = logging.getLogger("mpox")
# Each part's measure, with its sizes from the configuration's node of the same name; the latter generate their photos.
ON_PHOTOS: dict[str, Callable[..., dict[str, Any]]] = {
    "training": training.measure,
    "stages": stages.measure,
    "probe": study.measure,
    "default": study.measure,
    "launchers": launchers.measure,
    "packed": packing.measure,
}
ON_THEIR_OWN: dict[str, Callable[..., dict[str, Any]]] = {"jobs": jobs.measure, "growth": growth.measure}


def measure(cfg: DictConfig) -> dict[str, Any]:
    """Measure the parts that `cfg.parts` names and return their figures; those of other parts in `bench.json` stay.

    Writes `<output>/bench.json` after each part and `<output>/bench.png` at the end. Raises UserError for an unknown
    part, and where a measured command fails.
    """
    options = plain(cfg)
    place = Path(options["output"]).resolve()
    if unknown := [name for name in options["parts"] if name not in (*ON_PHOTOS, *ON_THEIR_OWN)]:
        raise UserError(f"parts={','.join(unknown)} is unknown: choose from {', '.join((*ON_PHOTOS, *ON_THEIR_OWN))}")
    path = place / "bench.json"
    results = read_json(path) if path.exists() else {}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in options["parts"]:
        log.info("measuring: %s", name)
        if name in ON_THEIR_OWN:
            results[name] = ON_THEIR_OWN[name](place, **options[name])
        else:
            results[name] = ON_PHOTOS[name](place, _photos(options, place), **options[name])
        results["versions"], results["machine"] = environment.versions(), environment.describe_device(device)
        write_json(path, results)
    report.draw(results, place / "bench.png")
    return results


def _photos(options: dict[str, Any], place: Path) -> Photos:
    if options["photos"]:
        return Photos(Path(options["photos"]).resolve())
    return generated(place / "data", **options["generated"])


@hydra.main(version_base="1.3", config_path="conf", config_name="benchmarks")
def main(cfg: DictConfig) -> None:
    """Run `python -m benchmarks`."""
    quieten()
    try:
        results = measure(cfg)
    except UserError as error:
        sys.exit(f"error: {error}")
    console = results_console()
    console.print(report.table(results))
    written = [name for name in ("bench.json", "bench.png") if (Path(cfg.output) / name).exists()]
    console.print(f"{cfg.output}/ holds all of it: {', '.join(written)}")


if __name__ == "__main__":
    main()
