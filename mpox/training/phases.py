"""The later phases of a job: the trainer, fine-tuning, predictions."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from mpox.config import build, plain, rebased
from mpox.data.folds import ALL
from mpox.errors import UserError, reason_of
from mpox.model.backbone import PhotoClassifier
from mpox.model.classifier import LesionClassifier
from mpox.runs.portable import portable
from mpox.runs.run_directory import RunDirectory
from mpox.stats.predictions import predictions_table
from mpox.training.epoch_progress import EpochProgress
from mpox.training.final import median_epochs
from mpox.training.frozen_maps import frozen_maps
from mpox.training.inputs import FoldInputs, class_weights
from mpox.training.length import but_length, epochs_to_train, rate_of_several
from mpox.training.pace import AUTO, FULL
from mpox.training.resume import KEPT, LAST, ResumeCheckpoints

log = logging.getLogger("mpox")
# Options of Lightning's Trainer about what it shows.
_SHOWN = ("enable_progress_bar", "enable_model_summary")


def check_trainer(cfg: DictConfig) -> torch.device:
    """Return the device that trains, the first where there are several; in milliseconds, before any photo is read.

    Raises UserError where this machine has no trainer as configured.
    """
    given = {name: value for name, value in plain(cfg.trainer).items() if name != "_target_"}
    options: dict[str, Any] = {**given, **dict.fromkeys(_SHOWN, False)}
    if options.get("precision") == AUTO:
        options["precision"] = FULL
    try:
        return L.Trainer(**options, logger=False, enable_checkpointing=False).strategy.root_device
    except (MisconfigurationException, ImportError, ValueError, TypeError, RuntimeError) as error:
        asked = f"trainer.accelerator={cfg.trainer.accelerator}, devices={cfg.trainer.devices}"
        raise UserError(
            f"this machine cannot train as configured ({asked}: {reason_of(error)}): give trainer=cpu, or "
            "trainer=default, which takes a GPU where there is one"
        ) from error


def make_trainer(cfg: DictConfig, config: dict[str, Any], run: RunDirectory) -> tuple[L.Trainer, Any]:
    """Build Lightning's Trainer with the configured callbacks, a checkpoint to resume from, and the logger."""
    finetune = cfg.schedule.get("finetune")
    logger = make_logger(cfg, config, run)
    callbacks = [build(_written_to(node, run), allowed=cfg.allow_targets) for node in cfg.callbacks.values()]
    callbacks.append(EpochProgress(drawn=bool(cfg.trainer.enable_progress_bar)))
    callbacks.append(
        ModelCheckpoint(
            run.resume, Path(LAST).stem, save_top_k=1, save_on_train_epoch_end=True, enable_version_counter=False
        )
    )
    trainer = build(
        cfg.trainer,
        allowed=cfg.allow_targets,
        max_epochs=finetune.epochs if finetune else 0,  # `finetune` may set another number
        limit_val_batches=0 if cfg.fold == ALL else None,  # None: as usual
        callbacks=callbacks,
        plugins=[ResumeCheckpoints()],
        logger=logger or False,
        enable_progress_bar=False,  # EpochProgress shows one instead
        default_root_dir=str(run.path),
        log_every_n_steps=1,
    )
    return trainer, logger


def make_logger(cfg: DictConfig, config: dict[str, Any], run: RunDirectory) -> Any:
    """Build the configured logger; None where there is none, or it cannot be had, which is a warning."""
    try:
        logger = build(_written_to(cfg.logger, run), allowed=cfg.allow_targets)
        if logger is not None:
            logger.log_hyperparams(portable(config))
    except UserError:
        raise
    except Exception as error:  # whatever it is, it is about what is noted of the job, not about the job
        log.warning("nothing is logged to %s (%s): the run directory has it all", cfg.logger._target_, reason_of(error))
        return None
    return logger


def _written_to(node: DictConfig, run: RunDirectory) -> DictConfig:
    """Return a node whose paths into the run's place lead to where it is written."""
    place, path = str(run.place), str(run.path)
    moved = rebased(OmegaConf.to_container(node, resolve=True), place, path)
    return node if place == path else OmegaConf.create(moved)


def finetune(
    cfg: DictConfig,
    network: PhotoClassifier,
    inputs: FoldInputs,
    run: RunDirectory,
    trainer: L.Trainer,
    resumed: Path | None,
) -> int:
    """Train from where the probe left the network, or a broken-off job (`resumed`); leave the kept weights in it.

    Returns after how many epochs they were.
    """
    mix = build(cfg.augment.mix, allowed=cfg.allow_targets) if cfg.augment.mix else None
    epochs = _set_length(cfg, inputs, trainer)
    module = LesionClassifier(
        network,
        build(cfg.optimizer, allowed=cfg.allow_targets),
        **but_length(cfg.schedule.finetune),
        epochs=epochs,
        label_smoothing=cfg.label_smoothing,
        class_weights=class_weights(cfg, inputs.targets, inputs.data.rows("train")),
        mix=mix(num_classes=len(inputs.targets.classes)) if mix else None,
        seed=cfg.seed,
    )
    if cfg.compile:
        network.compile()
    maps = frozen_maps(cfg, trainer, inputs, module)
    inputs.data.maps, module.trunk = maps, maps.trunk if maps else None
    try:
        trainer.fit(module, inputs.data, ckpt_path=resumed and str(resumed), weights_only=True)
    finally:
        inputs.data.maps = None
    kept = run.resume / KEPT
    if kept.exists():
        content = torch.load(kept, map_location="cpu", weights_only=True)
        module.load_state_dict(content["state_dict"])
        log.info("epoch %d of %d is kept", content["epoch"] + 1, epochs)
        return int(content["epoch"]) + 1
    return int(trainer.current_epoch)


def freezes(schedule: Mapping[str, Any]) -> bool:
    """Whether a schedule leaves layers as it finds them: the probe, or a fine-tuning of a part of the network."""
    finetune = schedule.get("finetune")
    return finetune is None or finetune["frozen_depth"] > 0 or "frozen" in (finetune["norms"], finetune["depthwise"])


def _set_length(cfg: DictConfig, inputs: FoldInputs, trainer: L.Trainer) -> int:
    """Give the trainer its number of epochs and return that of the schedule; what is not as asked for is printed.

    The final network stops at the median epoch of its folds, as if their schedule went on.
    """
    if trainer.world_size > 1:
        log.info("%s", rate_of_several(trainer.world_size, cfg.batch_size, cfg.optimizer.lr))
    steps = inputs.data.steps_per_epoch(trainer.world_size)
    epochs = epochs_to_train(cfg.schedule.finetune, steps)
    if epochs != cfg.schedule.finetune.epochs:
        log.info(
            "fine-tuning: %d epochs instead of %d, for %d steps", epochs, cfg.schedule.finetune.epochs, epochs * steps
        )
    trainer.fit_loop.max_epochs = median_epochs(cfg) if cfg.fold == ALL else epochs
    return max(epochs, trainer.fit_loop.max_epochs)


def predict(
    cfg: DictConfig, network: PhotoClassifier, inputs: FoldInputs, features: torch.Tensor | None
) -> pd.DataFrame:
    """Predict the validation and test photos: by the head alone where `features` are given, else by the network."""
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
    """Run the network in float32 on one device, also after distributed training. Returns rows and logits."""
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
