"""Measure an export on this machine or on a phone. See `python -m mpox.bench --help`."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mpox.console import results_console
from mpox.errors import UserError
from mpox.mobile.export.benchmark import phone_benchmark
from mpox.report.phones import benchmark_table, write_benchmark
from mpox.runs.opened import open_run


def bench(cfg: DictConfig) -> dict[str, Any]:
    """Measure the export `cfg.of` on `cfg.device` and write its figures and picture into `cfg.output`.

    With `cfg.run`, the run it was made of, onnxruntime and PyTorch take turns with it. Raises UserError without
    `model=`, and as `phone_benchmark`.
    """
    if OmegaConf.is_missing(cfg, "of"):
        raise UserError("what to measure must be given: add model=exports/<name>")
    run = open_run(Path(cfg.run), cache=cfg.cache_dir) if cfg.run else None
    phone = {"runner": cfg.runner, "adb": cfg.adb, "serial": cfg.serial}
    result = phone_benchmark(cfg.of, device=cfg.device, run=run, **phone)
    write_benchmark(result, Path(cfg.output))
    return result


def run(cfg: DictConfig) -> None:
    """Measure and print the table."""
    results_console().print(benchmark_table(bench(cfg)))
