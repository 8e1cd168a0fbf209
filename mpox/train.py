"""Train one CNN on one fold: photos and splits in, a run directory out. See `python -m mpox.train --help`."""

import contextlib
import logging
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig
from torchvision.transforms import v2

from mpox.config import build, config_dir, plain
from mpox.curation.guard import guard
from mpox.data.folds import Folds, check_fold
from mpox.data.module import FoldData
from mpox.data.sources import PhotoSet
from mpox.data.store import open_store, store_key
from mpox.data.task import Targets
from mpox.errors import UserError
from mpox.evaluate.predictions import predictions_table, score, write_predictions
from mpox.files import read_json, write_json
from mpox.jobs import one_line, quieten, run_job
from mpox.model.backbone import InputRecord, PhotoClassifier, input_record
from mpox.model.backbone import build as build_network
from mpox.model.checkpoint import Card, save_checkpoint
from mpox.model.classifier import LesionClassifier
from mpox.model.probe import cached_features, fit_head
from mpox.model.weights import WeightSource, find
from mpox.report import wandb as wandb_report
from mpox.study import environment, sweep
from mpox.study.preparation import prepare
from mpox.study.run_directory import RunDirectory

log = logging.getLogger("mpox")


@dataclass(frozen=True)
class FoldInputs:
    """Everything about the photos of one job."""

    photos: PhotoSet
    folds: Folds
    targets: Targets
    data: FoldData
    key: str


def train(cfg: DictConfig) -> dict[str, Any]:
    """Run one job and return the content of its metrics.json; a finished job only has it read.

    Raises UserError for whatever its owner can mend, before anything trains where it can be known before.
    """
    check_fold(cfg.fold, cfg.n_folds)
    record = input_record(cfg.model.timm_name, cfg.image_size)
    cfg.image_size = record.image_size
    config = plain(cfg)
    run = RunDirectory(cfg.runs_dir, cfg.study, cfg.model.name, cfg.fold)
    if not cfg.overwrite and run.is_finished(config):
        return read_json(run.path / "metrics.json")
    weights = find(cfg.model.timm_name, cfg.weights.source, cfg.weights.path)
    with run.claimed():
        run.begin(config, overwrite=cfg.overwrite)
        with run.logging_to_file():
            try:
                return _run(cfg, config, run, record, weights)
            except Exception as error:
                with contextlib.suppress(OSError):  # a full disk must not hide what filled it
                    run.fail(traceback.format_exc(), one_line(error, cfg.runs_dir))
                raise
            finally:
                wandb_report.finish(failed=sys.exc_info()[0] is not None)


def _run(
    cfg: DictConfig, config: dict[str, Any], run: RunDirectory, record: InputRecord, weights: WeightSource
) -> dict[str, Any]:
    """Do the job: data, network, probe, fine-tuning, predictions, files; status.json last."""
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    # Deterministic mode would fill every new tensor with NaN first, which nothing here reads and every step would pay.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    clock = Clock()
    inputs = _inputs(cfg, record)
    classes = inputs.targets.classes
    clock.lap("data")
    network = build_network(cfg.model.timm_name, len(classes), record, weights, drop_rate=cfg.dropout)
    log.info("%s fold %d: weights %s (%s)", cfg.model.name, cfg.fold, weights.kind, Path(weights.location).name)
    clock.lap("network")
    trainer, logger = _trainer(cfg, config, run)
    features = None
    if cfg.schedule.get("probe") and not run.last_epoch.exists():
        features = _probe(cfg, network, inputs, trainer.strategy.root_device)
        clock.lap("probe")
    if cfg.schedule.get("finetune"):
        _finetune(cfg, network, inputs, run, trainer)
        clock.lap("finetune")
        features = None  # of a backbone that is no more
    predictions = _predict(cfg, network, inputs, features)
    clock.lap("predict")
    result: dict[str, Any] = {
        "classes": list(classes),
        "positive": None if inputs.targets.positive is None else classes[inputs.targets.positive],
    }
    for split in ("val", "test"):
        result[split] = score(predictions[predictions["split"] == split], classes, inputs.targets.positive)
    card = Card(
        timm_name=cfg.model.timm_name,
        classes=classes,
        positive=inputs.targets.positive,
        record=record,
        study=cfg.study,
        model=cfg.model.name,
        fold=cfg.fold,
        splits_sha256=inputs.folds.sha256,
    )
    save_checkpoint(run.path / "checkpoint.ckpt", network, card)
    write_predictions(predictions, run.path / "predictions.parquet")
    write_json(run.path / "metrics.json", result)
    facts = {"seed": cfg.seed, "splits_sha256": inputs.folds.sha256, "weights": f"{weights.kind}: {weights.location}"}
    device = trainer.strategy.root_device
    write_json(run.path / "environment.json", environment.record(device, **facts, seconds=clock.laps))
    if isinstance(logger, wandb_report.WandbLogger):
        wandb_report.log_result(logger, result, predictions)
    run.finish(seconds=round(sum(clock.laps.values()), 2))
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, "on_run_finished"):  # of mpox.callbacks
            callback.on_run_finished(run.path, Path(cfg.cache_dir), logger)
    return result


def _inputs(cfg: DictConfig, record: InputRecord) -> FoldInputs:
    """Photos, splits, targets and pixels of the job; everything that can be wrong with them is said here."""
    study = Path(cfg.runs_dir) / cfg.study
    photos, folds = prepare(
        study,
        {**plain(cfg.data), "guard": plain(cfg.data_guard)},
        lambda: build(cfg.data),
        lambda found: guard(found, Path(cfg.cache_dir), **cfg.data_guard),
        n_folds=cfg.n_folds,
        seed=cfg.seed,
        splits=cfg.splits,
    )
    kept = photos.manifest[photos.manifest["keep"]].reset_index(drop=True)
    photos = PhotoSet(kept, photos.root)
    targets: Targets = build(cfg.task)(kept["label"])
    roles = folds.roles(cfg.fold).reindex(kept["photo_id"]).to_numpy(str)
    for role in ("train", "val", "test"):
        present = set(targets.values[roles == role])
        absent = [name for k, name in enumerate(targets.classes) if k not in present]
        if absent and role == "train":
            raise UserError(f"fold {cfg.fold} leaves no {', '.join(absent)} to train on: lower n_folds or add photos")
        if absent:
            log.warning("fold %d has no %s among its %s photos: its figures leave it out", cfg.fold, absent, role)
    pixels = open_store(kept, photos.root, record.image_size, record.interpolation, Path(cfg.cache_dir))
    transforms = [build(node) for node in cfg.augment.transforms.values()]
    data = FoldData(
        pixels,
        targets.values,
        roles,
        batch_size=cfg.batch_size,
        num_workers=cfg.num_workers,
        transform=v2.Compose(transforms) if transforms else None,
        sampling="balanced" if cfg.balance == "sampling" else "shuffle",
        seed=cfg.seed,
        photos_on=cfg.photos_on,
    )
    key = store_key(list(kept["sha256"]), record.image_size, record.interpolation)
    return FoldInputs(photos, folds, targets, data, key)


def _trainer(cfg: DictConfig, config: dict[str, Any], run: RunDirectory) -> tuple[L.Trainer, Any]:
    """Build Lightning's Trainer with the configured callbacks, a checkpoint to resume from, and the logger."""
    finetune = cfg.schedule.get("finetune")
    logger = build(cfg.logger)
    if logger is not None:
        logger.log_hyperparams(config)
    bar = bool(cfg.trainer.enable_progress_bar) and sys.stdout.isatty() and finetune is not None
    chosen = {name: node for name, node in cfg.callbacks.items() if bar or name != "progress"}
    callbacks = [build(node) for node in chosen.values()]
    callbacks.append(
        ModelCheckpoint(
            run.resume, run.last_epoch.stem, save_top_k=1, save_on_train_epoch_end=True, enable_version_counter=False
        )
    )
    trainer = build(
        cfg.trainer,
        max_epochs=finetune.epochs if finetune else 0,
        callbacks=callbacks,
        logger=logger or False,
        enable_progress_bar=bar,
        default_root_dir=str(run.path),
        log_every_n_steps=1,
    )
    return trainer, logger


def _class_weights(cfg: DictConfig, inputs: FoldInputs) -> torch.Tensor | None:
    """Return weights inverse to the training counts, of mean 1 over photos (float32), where so configured."""
    if cfg.balance not in ("class_weights", "sampling", "none"):
        raise UserError(f"balance={cfg.balance} is unknown: choose class_weights, sampling or none")
    if cfg.balance != "class_weights":
        return None
    counts = np.bincount(inputs.targets.values[inputs.data.rows("train")], minlength=len(inputs.targets.classes))
    return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)


def _probe(cfg: DictConfig, network: PhotoClassifier, inputs: FoldInputs, device: torch.device) -> torch.Tensor:
    """Set the head to the best linear classifier of the frozen features; validation chooses its penalty.

    Returns features_NF of all photos, float32 on the CPU.
    """
    numbers: list[int | None] = [None, *range(cfg.schedule.probe.get("views", 0))]
    recipe = f"{plain(cfg.augment)} {cfg.seed}"
    keys = [inputs.key if number is None else f"{inputs.key} {recipe} {number}" for number in numbers]
    where = cfg.batch_size, device, Path(cfg.cache_dir)
    seen = [cached_features(network, inputs.data.view(n), key, *where) for n, key in zip(numbers, keys, strict=True)]
    features, targets = seen[0], torch.from_numpy(inputs.targets.values)
    train, val = inputs.data.rows("train"), inputs.data.rows("val")
    head = fit_head(
        (torch.cat([view[train] for view in seen]), targets[train].repeat(len(seen))),
        (features[val], targets[val]),
        len(inputs.targets.classes),
        list(cfg.schedule.probe.penalties),
        _class_weights(cfg, inputs),
    )
    network.set_head(head.weight, head.bias)
    log.info("probe: L2 %g chosen, validation nll %.4f", head.l2, head.val_nll)
    return features


def _finetune(
    cfg: DictConfig, network: PhotoClassifier, inputs: FoldInputs, run: RunDirectory, trainer: L.Trainer
) -> None:
    """Train from where the probe (or a broken-off job) left the network; leave the kept epoch's weights in it."""
    mix = build(cfg.augment.mix) if cfg.augment.mix else None
    module = LesionClassifier(
        network,
        build(cfg.optimizer),
        **cfg.schedule.finetune,
        label_smoothing=cfg.label_smoothing,
        class_weights=_class_weights(cfg, inputs),
        mix=mix(num_classes=len(inputs.targets.classes)) if mix else None,
        seed=cfg.seed,
    )
    if cfg.compile:
        network.compile()
    resumed = str(run.last_epoch) if run.last_epoch.exists() else None
    if resumed:
        log.info("resuming from the last finished epoch")
    trainer.fit(module, inputs.data, ckpt_path=resumed, weights_only=True)
    kept = run.resume / "kept.ckpt"
    if kept.exists():
        content = torch.load(kept, map_location="cpu", weights_only=True)
        module.load_state_dict(content["state_dict"])
        log.info("epoch %d of %d is kept", content["epoch"] + 1, cfg.schedule.finetune.epochs)


def _predict(
    cfg: DictConfig, network: PhotoClassifier, inputs: FoldInputs, features: torch.Tensor | None
) -> pd.DataFrame:
    """Predict the validation and test photos: by the head alone where their features are known, else by the network."""
    if features is None:
        rows, logits = _logits(cfg, network, inputs)
    else:
        rows = np.concatenate([inputs.data.rows("val"), inputs.data.rows("test")])
        logits = network.head_logits(features[rows]).numpy()
    return predictions_table(
        inputs.photos.manifest,
        rows,
        logits,
        classes=inputs.targets.classes,
        targets=inputs.targets.values,
        splits=inputs.data.roles,
        fold=cfg.fold,
    )


def _logits(cfg: DictConfig, network: PhotoClassifier, inputs: FoldInputs) -> tuple[np.ndarray, np.ndarray]:
    """Run the network over them in float32 on one device, whatever trained it. Returns rows and logits."""
    module = LesionClassifier(network, torch.optim.SGD, epochs=0)
    predictor = L.Trainer(
        accelerator=cfg.trainer.accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches = [batch for batches in predictor.predict(module, inputs.data) or [] for batch in batches]
    rows = torch.cat([batch["row"] for batch in batches]).cpu().numpy()
    return rows, torch.cat([batch["logits"] for batch in batches]).cpu().numpy()


class Clock:
    """Wall time of the stages of a job, in seconds."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End the stage `name`, which began with the last one's end."""
        now = time.perf_counter()
        self.laps[name], self.last = round(now - self.last, 2), now


@hydra.main(version_base="1.3", config_path=config_dir(), config_name="train")
def _hydra_main(cfg: DictConfig) -> float | None:
    return run_job(cfg, train)


def main() -> None:
    """Run `python -m mpox.train`; the exit code is 0 only when every job asked for is done."""
    quieten()
    _hydra_main()
    sys.exit(sweep.exit_code)


if __name__ == "__main__":
    # Not this copy of the module: processes that a launcher starts find the job's function by its name.
    from mpox.train import main

    main()
