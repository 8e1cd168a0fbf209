"""Measure an export on this machine or on a phone. See `python -m mpox.bench --help`."""

import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from mpox.config import config_dir, take_model_as_of
from mpox.console import results_console
from mpox.errors import UserError
from mpox.mobile.run.benchmark import phone_benchmark
from mpox.report.phones import benchmark_table, write_benchmark
from mpox.runs.opened import open_run
from mpox.training.jobs import quieten


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


@hydra.main(version_base="1.3", config_path=config_dir(), config_name="bench")
def _hydra_main(cfg: DictConfig) -> None:
    quieten()
    try:
        result = bench(cfg)
    except UserError as error:
        sys.exit(f"error: {error}")
    results_console().print(benchmark_table(result))


def main() -> None:
    """Run `python -m mpox.bench`."""
    take_model_as_of()
    _hydra_main()


if __name__ == "__main__":
    main()
