"""Train one CNN on one fold, or on every photo: photos and splits in, a run directory out."""

import logging
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import torch
from omegaconf import DictConfig

from mpox.config import plain
from mpox.data.folds import ALL
from mpox.data.task import Targets
from mpox.data.working_picture import resize_of
from mpox.errors import UserError
from mpox.files import write_json
from mpox.heap import keep_freed_memory
from mpox.model.backbone import InputRecord, PhotoClassifier, input_record
from mpox.model.backbone import build as build_network
from mpox.model.checkpoint import Card, save_checkpoint
from mpox.model.features import features_of
from mpox.model.weights import WeightSource, find
from mpox.report.loggers import close, log_result
from mpox.report.wandb_run import finish
from mpox.runs import environment
from mpox.runs.run_directory import RunDirectory
from mpox.stats.predictions import score, write_predictions
from mpox.training.final import KEPT_EPOCHS, held_out_predictions
from mpox.training.finished import finished_result
from mpox.training.inputs import FoldInputs, fold_inputs
from mpox.training.pace import AUTO, settled, with_pace
from mpox.training.phases import check_trainer, finetune, freezes, make_trainer, predict
from mpox.training.probing import probe
from mpox.training.resume import epoch_to_resume

log = logging.getLogger("mpox")


def train(cfg: DictConfig) -> dict[str, Any]:
    """Run one job and return the content of its metrics.json; for a finished job it is only read.

    Raises UserError for all that the user can correct, where possible before training.
    """
    result = finished_result(cfg)
    return run_job(cfg) if result is None else result


def run_job(cfg: DictConfig) -> dict[str, Any]:
    """Run a job that `finished_result` found not to be done; return the content of its metrics.json."""
    model = cfg.model
    # A final network of older runs is made as they were: their configurations do not say how photos are resized.
    record = input_record(model.timm_name, cfg.image_size, model.get("mean"), model.get("std"), resize_of(cfg))
    config = plain(cfg)
    run = RunDirectory(cfg.runs_dir, cfg.study, cfg.model.name, cfg.fold)
    held_out = held_out_predictions(cfg) if cfg.fold == ALL else None
    device = check_trainer(cfg)
    weights = find(cfg.model.timm_name, cfg.weights.source, cfg.weights.path)
    with run.claimed():
        if not cfg.overwrite and run.is_finished(config):  # a replacement that was only to be put into its place
            return run.result()
        run.begin(config, overwrite=cfg.overwrite)
        with run.logging_to_file(), run.attempted():
            try:
                result = _run(cfg, config, run, record, weights, held_out, device)
            finally:
                finish(failed=sys.exc_info()[0] is not None)
        run.settle()
        return result


def _run(
    cfg: DictConfig,
    config: dict[str, Any],
    run: RunDirectory,
    record: InputRecord,
    weights: WeightSource,
    held_out: pd.DataFrame | None,
    device: torch.device,
) -> dict[str, Any]:
    """Do the job: data, network, probe, fine-tuning, predictions, files; status.json is written last.

    `held_out` are the predictions of a final network, those of the folds, as no photo is held out from itself.
    """
    if cfg.threads not in (None, AUTO):
        torch.set_num_threads(cfg.threads)
    keep_freed_memory()
    # Deterministic mode would fill every new tensor with NaN first, which is never read and slows every step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    clock = Clock()
    inputs = fold_inputs(cfg, record, run.place)
    clock.lap("data")
    # Only now: the first job of a study may search its photos for copies, which draws random numbers.
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    network = _network(cfg, len(inputs.targets.classes), record, weights)
    clock.lap("network")
    facts: dict[str, Any] = {}
    if pace := settled(cfg, network, inputs, device):
        facts["pace"] = asdict(pace)
        cfg = with_pace(cfg, pace)
        clock.lap("pace")
    trainer, logger = make_trainer(cfg, config, run)
    features, resumed = None, epoch_to_resume(run.resume)
    if cfg.schedule.get("probe") and not resumed:
        features = probe(cfg, network, inputs, device)
        clock.lap("probe")
    if cfg.schedule.get("finetune"):
        facts[KEPT_EPOCHS] = finetune(cfg, network, inputs, run, trainer, resumed)
        clock.lap("finetune")
        features = None  # those of the backbone before fine-tuning
    predictions = predict(cfg, network, inputs, features) if held_out is None else held_out
    clock.lap("predict")
    result = _scores(predictions, inputs.targets, final=held_out is not None)
    save_checkpoint(run.path / "checkpoint.ckpt", network, _card(cfg, inputs, record))
    write_predictions(predictions, run.path / "predictions.parquet")
    write_json(run.path / "metrics.json", result)
    facts |= {"seed": cfg.seed, "splits_sha256": inputs.folds.sha256, "weights": f"{weights.kind}: {weights.location}"}
    write_json(run.path / "environment.json", environment.record(device, **facts, seconds=clock.laps))
    log_result(logger, result, predictions, run.path)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, "on_run_finished"):  # the hooks of mpox.training
            callback.on_run_finished(run.path, Path(cfg.cache_dir), logger)
    close(logger)
    run.finish(seconds=round(sum(clock.laps.values()), 2))
    return result


def _network(cfg: DictConfig, n_classes: int, record: InputRecord, weights: WeightSource) -> PhotoClassifier:
    """Build the network, noting where its weights are from. Raises UserError for weights of another architecture."""
    model, options = cfg.model, _architecture(cfg)
    if options and weights.kind in ("bundled", "hub"):
        raise UserError(
            f"the weights of {model.timm_name} ({weights.kind}) are not those of model.options={options}: "
            "give weights=file weights.path=<file>"
        )
    made_with = {**options, "drop_rate": cfg.dropout}
    network = build_network(model.timm_name, n_classes, record, weights, features_of(model), made_with)
    log.info("%s fold %s: weights %s (%s)", model.name, cfg.fold, weights.kind, Path(weights.location).name)
    if weights.kind == "none" and freezes(plain(cfg.schedule)):
        log.warning("weights=none: frozen layers stay random and learn nothing; schedule=scratch trains every layer")
    return network


def _card(cfg: DictConfig, inputs: FoldInputs, record: InputRecord) -> Card:
    return Card(
        timm_name=cfg.model.timm_name,
        classes=inputs.targets.classes,
        positive=inputs.targets.positive,
        record=record,
        study=cfg.study,
        model=cfg.model.name,
        fold=cfg.fold,
        splits_sha256=inputs.folds.sha256,
        targets=inputs.label_map,
        options=_architecture(cfg),
        features=features_of(cfg.model),
    )


def _architecture(cfg: DictConfig) -> dict[str, Any]:
    options: dict[str, Any] = plain(cfg.model).get("options", {})
    return options


def _scores(predictions: pd.DataFrame, targets: Targets, *, final: bool) -> dict[str, Any]:
    """Return what metrics.json holds; of a final network, the figures of its folds together."""
    classes, positive = targets.classes, targets.positive
    result: dict[str, Any] = {"classes": list(classes), "positive": None if positive is None else classes[positive]}
    if final:
        return result | {"cross_validated": score(predictions, classes, positive)}
    of = {split: predictions[predictions["split"] == split] for split in ("val", "test")}
    return result | {split: score(rows, classes, positive) for split, rows in of.items()}


class Clock:
    """Wall time of the stages of a job, in seconds."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End the stage `name`, which began at the end of the previous one."""
        now = time.perf_counter()
        self.laps[name], self.last = round(now - self.last, 2), now
