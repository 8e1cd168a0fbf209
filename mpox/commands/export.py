"""Export a finished run for phones, and verify that the file agrees with it. `python -m mpox.export --help`."""

import logging
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torchvision.transforms import v2

from mpox.config import build, plain
from mpox.console import results_console
from mpox.data.folds import ALL
from mpox.errors import UserError
from mpox.heap import keep_freed_memory
from mpox.mobile.export.job import export_run
from mpox.mobile.export.onnx_job import export_onnx_run
from mpox.mobile.export.original import Request
from mpox.mobile.export.prune import Tuning, prune_run
from mpox.mobile.run.verify import Bound
from mpox.report.export_card import export_table, write_export_card
from mpox.report.wandb_export import log_export
from mpox.runs.opened import OpenedRun, open_run
from mpox.stats.decision import DecisionRule
from mpox.study.choice_file import Chosen, check_current, read_choice
from mpox.study.final_network import check_final, final_command

log = logging.getLogger("mpox")
FORMATS = {"pte": export_run, "onnx": export_onnx_run}


def export(cfg: DictConfig) -> dict[str, Any]:
    """Write `<exports_dir>/<name>/` and return the content of its export.json. Raises UserError."""
    plain(cfg)
    if cfg.format not in FORMATS:
        raise UserError(f"format={cfg.format} is unknown: choose {', '.join(FORMATS)}")
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    torch.manual_seed(cfg.seed)
    place, chosen = _chosen(cfg)
    rule = None if chosen is None else chosen.rule
    wanted = request(cfg, rule)
    run = open_run(place, device="cpu", root=cfg.root, cache=cfg.cache_dir)
    if chosen is not None:
        _check_fits(chosen, run, cfg.chosen)
    pruned = None
    if cfg.prune.ratio:
        options = {name: value for name, value in plain(cfg)["prune"].items() if name != "ratio"}
        run, pruned = prune_run(
            run, cfg.prune.ratio, tuning=Tuning(**options), transform=_augmentation(run), seed=cfg.seed
        )
    return FORMATS[cfg.format](run, wanted, write_export_card, pruned)


def request(cfg: DictConfig, rule: DecisionRule | None = None) -> Request:
    """Turn the configuration into plain values; `rule` was chosen with the model. UserError for wrong values."""
    return Request(
        recipe=cfg.recipe,
        backend=cfg.backend,
        input=cfg.input,
        exports_dir=Path(cfg.exports_dir).expanduser(),
        name=cfg.name,
        overwrite=cfg.overwrite,
        bound=Bound(**plain(cfg)["bound"]),
        rule=rule,
        target_sensitivity=cfg.target_sensitivity,
        coverage=cfg.coverage,
        calibration_photos=cfg.calibration.photos,
        tune_steps=cfg.qat.steps,
        tune_rate=cfg.qat.rate,
        tune_batch=cfg.qat.batch_size,
        timing_rounds=cfg.timing.rounds,
        capture_photos=cfg.capture.photos,
        seed=cfg.seed,
    )


# The run may come from elsewhere: nothing else is built from its configuration.
AUGMENTATION = ("torchvision.transforms", "mpox.data")


def _augmentation(run: OpenedRun) -> v2.Compose | None:
    """What the run's training photos went through; the tuning after pruning sees the same."""
    nodes = OmegaConf.create(run.config["augment"]["transforms"] or {})
    transforms = [build(node, within=AUGMENTATION) for node in nodes.values()]
    return v2.Compose(transforms) if transforms else None


def _check_fits(chosen: Chosen, run: OpenedRun, path: str) -> None:
    """Raise UserError where a choice rests on other photos, classes or networks than the run that it names now."""
    if chosen.splits_sha256 not in (None, run.card.splits_sha256):
        raise UserError(f"{path} was made of other splits than {run.path} was trained on: compare the study again")
    check_current(chosen, Path(path), run.path.resolve().parent)
    if run.is_final and chosen.rule is not None:
        check_final(run.path)
    quantiles = None if chosen.rule is None else chosen.rule.quantiles
    if quantiles is not None and len(quantiles) != len(run.card.classes):
        raise UserError(
            f"{path} has quantiles of {len(quantiles)} classes, {run.path} knows {len(run.card.classes)}: compare the "
            "study again"
        )


def _chosen(cfg: DictConfig) -> tuple[Path, Chosen | None]:
    """Return the run directory to export, and what chosen.yaml holds, if that is what was given."""
    if (cfg.run is None) == (cfg.chosen is None):
        raise UserError("give run=<runs_dir>/<study>/<model>/fold-<k>, or chosen=<chosen.yaml>, one of the two")
    if cfg.run is not None:
        return Path(cfg.run), None
    path = Path(cfg.chosen).expanduser()
    chosen = read_choice(path)
    study, model, fold, rule = chosen.study, chosen.model, chosen.fold, chosen.rule
    beside = path.resolve().parents[1]  # <study>/comparison/chosen.yaml, wherever the study is
    folder = beside if beside.name == study else Path(cfg.runs_dir) / study
    place = folder / model / f"fold-{fold}"
    if fold == ALL and not (place / "checkpoint.ckpt").is_file():
        line = final_command(study, model, folder.parent)
        raise UserError(f"{place} is not there yet: the chosen model is first fitted on every photo: {line}")
    for name in ("target_sensitivity", "coverage"):
        if rule is not None and cfg[name] not in (None, getattr(rule, name)):
            raise UserError(
                f"{path} was made with {name}={getattr(rule, name)}: leave {name}= out, or compare the study "
                "again with it"
            )
    return place, chosen


def run(cfg: DictConfig) -> None:
    """Export, send the export to W&B, and print its table."""
    keep_freed_memory()
    report = export(cfg)
    place = Path(cfg.exports_dir).expanduser()
    log_export(place / report["name"], **cfg.logger, place=place / ".wandb")
    console = results_console()
    console.print(export_table(report))
    if report["note"]:
        console.print(f"note: {report['note']}")
    console.print(f"{Path(cfg.exports_dir) / report['name']} holds the model, its contract, card and golden set.")
