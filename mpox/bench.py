"""Measure training against its limit and the usual script, or an export here and on a phone.

See `python -m mpox.bench --help`; `python -m mpox.bench model=exports/<name> [device=adb]` is the second.
"""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from benchmarks import growth, jobs, launchers, packing, report, stages, study, training
from benchmarks.commands import Photos, generated
from mpox.config import config_dir, plain, take_model_as_of
from mpox.console import results_console
from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.mobile.run.benchmark import phone_benchmark
from mpox.report.phones import benchmark_table, write_benchmark
from mpox.runs import environment
from mpox.runs.opened import open_run
from mpox.training.jobs import quieten

log = logging.getLogger("mpox")


def bench(cfg: DictConfig) -> dict[str, Any]:
    """Measure the parts that `cfg.parts` names and return their figures; those of other parts in `bench.json` stay.

    Writes `<output>/bench.json` after each part and `<output>/bench.png` at the end. Raises UserError for an unknown
    part, and where a measured command fails.
    """
    place = Path(cfg.output).resolve()
    options = plain(cfg)
    photos = Photos(Path(cfg.photos).resolve()) if cfg.photos else generated(place / "data", **options["generated"])
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "training": lambda: training.measure(place, photos, **options["training"]),
        "stages": lambda: stages.measure(place, photos, **options["stages"]),
        "probe": lambda: study.measure(place, photos, **options["probe"]),
        "default": lambda: study.measure(place, photos, **options["default"]),
        "jobs": lambda: jobs.measure(place, generated(place / "data", 10, 2, 48), **options["jobs"]),
        "launchers": lambda: launchers.measure(place, photos, **options["launchers"]),
        "packed": lambda: packing.measure(place, photos, **options["packed"]),
        "growth": lambda: growth.measure(place / "data", **options["growth"]),
    }
    if unknown := [name for name in cfg.parts if name not in measures]:
        raise UserError(f"parts={','.join(unknown)} is unknown: choose from {', '.join(measures)}")
    path = place / "bench.json"
    results = read_json(path) if path.exists() else {}
    for name in cfg.parts:
        log.info("measuring: %s", name)
        results[name] = measures[name]()
        results["versions"], results["machine"] = environment.versions(), environment.describe_device(_device())
        write_json(path, results)
    report.draw(results, place / "bench.png")
    return results


def bench_export(cfg: DictConfig) -> dict[str, Any]:
    """Measure the export `cfg.of` on `cfg.device` and write its figures and picture into `cfg.output`.

    With `cfg.run`, the run it was made of, onnxruntime and PyTorch take turns with it. Raises as `phone_benchmark`.
    """
    run = open_run(Path(cfg.run), cache=cfg.cache_dir) if cfg.run else None
    phone = {"runner": cfg.runner, "adb": cfg.adb, "serial": cfg.serial}
    result = phone_benchmark(cfg.of, device=cfg.device, run=run, **phone)
    write_benchmark(result, Path(cfg.output))
    return result


def _device() -> Any:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@hydra.main(version_base="1.3", config_path=config_dir(), config_name="bench")
def _hydra_main(cfg: DictConfig) -> None:
    quieten()
    OmegaConf.resolve(cfg)
    console = results_console()
    try:
        if cfg.of is not None:
            console.print(benchmark_table(bench_export(cfg)))
            return
        results = bench(cfg)
    except UserError as error:
        sys.exit(f"error: {error}")
    console.print(report.table(results))
    console.print(f"{cfg.output}/bench.json and bench.png hold all of it")


def main() -> None:
    """Run `python -m mpox.bench`."""
    take_model_as_of()
    _hydra_main()


if __name__ == "__main__":
    main()
