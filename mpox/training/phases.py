"""The phases of a job: photos of a fold, probe, fine-tuning, predictions."""

import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from torchvision.transforms import v2

from mpox.config import build, plain
from mpox.curation.guard import guard
from mpox.data.folds import ALL, Folds
from mpox.data.module import FoldData
from mpox.data.small_folds import small_folds
from mpox.data.sources import PhotoSet
from mpox.data.store import open_store, store_key
from mpox.data.task import Targets, label_map
from mpox.errors import UserError, reason_of
from mpox.model.backbone import InputRecord, PhotoClassifier
from mpox.model.classifier import LesionClassifier
from mpox.model.frozen import cached_features
from mpox.model.probe import LinearHead, Problem, cached_heads, fit_heads
from mpox.runs.portable import portable
from mpox.runs.preparation import prepare
from mpox.runs.run_directory import RunDirectory
from mpox.stats.predictions import predictions_table
from mpox.training.epoch_progress import EpochProgress
from mpox.training.final import median_epochs
from mpox.training.length import LENGTH, epochs_to_train, rate_of_several
from mpox.training.resume import KEPT, LAST, ResumeCheckpoints

log = logging.getLogger("mpox")
# Options of Lightning's Trainer about what it shows.
_SAID = ("enable_progress_bar", "enable_model_summary")


@dataclass(frozen=True)
class FoldInputs:
    """Everything about the photos of one job."""

    photos: PhotoSet
    folds: Folds
    targets: Targets
    label_map: dict[str, int]
    data: FoldData
    key: str


def fold_inputs(cfg: DictConfig, record: InputRecord, own: Path | None = None) -> FoldInputs:
    """Photos, splits, targets and pixels of the job, run directory `own`. Raises UserError for unusable photos."""
    study = Path(cfg.runs_dir) / cfg.study
    photos, folds = prepare(
        study,
        {**plain(cfg.data), "guard": plain(cfg.data_guard)},
        lambda: build(cfg.data, allowed=cfg.allow_targets),
        lambda found: guard(found, Path(cfg.cache_dir), **cfg.data_guard),
        n_folds=cfg.n_folds,
        seed=cfg.seed,
        splits=cfg.splits,
        cache=Path(cfg.cache_dir),
        own=own,
    )
    kept = photos.manifest[photos.manifest["keep"]].reset_index(drop=True)
    photos = PhotoSet(kept, photos.root)
    targets: Targets = build(cfg.task, allowed=cfg.allow_targets)(kept["label"])
    indices = label_map(kept["label"], targets)
    roles = folds.roles(cfg.fold).reindex(kept["photo_id"]).to_numpy(str)
    names = pd.Series(np.array(targets.classes)[targets.values])
    for warning in small_folds(names, kept["group"], folds.of(kept["photo_id"]), range(len(folds.ids))):
        log.warning("%s", warning)
    for role in ("train", "val", "test"):
        present = set(targets.values[roles == role])
        absent = [name for k, name in enumerate(targets.classes) if k not in present]
        if absent and role == "train":
            raise UserError(f"fold {cfg.fold} leaves no {', '.join(absent)} to train on: lower n_folds or add photos")
        if absent and cfg.fold != ALL:
            log.warning("fold %d has no %s among its %s photos: its figures leave it out", cfg.fold, absent, role)
    pixels = open_store(kept, photos.root, record.image_size, record.interpolation, Path(cfg.cache_dir))
    transforms = [build(node, allowed=cfg.allow_targets) for node in cfg.augment.transforms.values()]
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
    return FoldInputs(photos, folds, targets, indices, data, key)


def check_trainer(cfg: DictConfig) -> None:
    """Raise UserError where this machine has no trainer as configured: before any photo is read, in milliseconds."""
    given = {name: value for name, value in plain(cfg.trainer).items() if name != "_target_"}
    options: dict[str, Any] = {**given, **dict.fromkeys(_SAID, False)}
    try:
        L.Trainer(**options, logger=False, enable_checkpointing=False)
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

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(part) for key, part in value.items()}
        if isinstance(value, list):
            return [moved(part) for part in value]
        if isinstance(value, str) and Path(value).is_relative_to(place):
            return str(path / Path(value).relative_to(place))
        return value

    return node if place == path else OmegaConf.create(moved(OmegaConf.to_container(node, resolve=True)))


def _class_weights(cfg: DictConfig, targets: Targets, train: np.ndarray) -> torch.Tensor:
    """Return weights (C) inverse to the training counts, of mean 1 over photos (float32); ones unless configured.

    `train` is a mask, or row numbers, of the photos.
    """
    if cfg.balance not in ("class_weights", "sampling", "none"):
        raise UserError(f"balance={cfg.balance} is unknown: choose class_weights, sampling or none")
    if cfg.balance != "class_weights":
        return torch.ones(len(targets.classes))
    counts = np.bincount(targets.values[train], minlength=len(targets.classes))
    return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)


def probe(cfg: DictConfig, network: PhotoClassifier, inputs: FoldInputs, device: torch.device) -> torch.Tensor:
    """Set the head to the best linear classifier of the frozen features; validation chooses its penalty.

    Returns features_NF of all photos, float32 on the CPU.
    """
    numbers: list[int | None] = [None, *range(cfg.schedule.probe.get("views", 0))]
    recipe = f"{plain(cfg.augment)} {cfg.seed}"
    keys = [inputs.key if number is None else f"{inputs.key} {recipe} {number}" for number in numbers]
    options = cfg.batch_size, device, Path(cfg.cache_dir)
    features = [
        cached_features(network, inputs.data.view(n), key, *options) for n, key in zip(numbers, keys, strict=True)
    ]
    folds, problem = _heads_of_all_folds(cfg, inputs, features)
    heads = cached_heads(problem, list(cfg.schedule.probe.penalties), Path(cfg.cache_dir))
    if cfg.fold == ALL:
        head = _head_of_all_photos(cfg, inputs, problem, [head.l2 for head in heads])
        log.info("probe: L2 %g, the median of the folds", head.l2)
    else:
        head = heads[folds.index(cfg.fold)]
        log.info("probe: L2 %g chosen, validation nll %.4f", head.l2, head.val_nll)
    network.set_head(head.weight, head.bias)
    return features[0]


def _heads_of_all_folds(cfg: DictConfig, inputs: FoldInputs, features: list[torch.Tensor]) -> tuple[list[int], Problem]:
    """Return the folds with training photos of every class, and the problem of their heads on photos and views."""
    ids, values = inputs.photos.manifest["photo_id"], inputs.targets.values
    roles = np.stack([inputs.folds.roles(fold).reindex(ids).to_numpy(str) for fold in range(len(inputs.folds.ids))])
    folds = [k for k, row in enumerate(roles) if len(set(values[row == "train"])) == len(inputs.targets.classes)]
    train, val = torch.from_numpy(roles[folds] == "train"), torch.from_numpy(roles[folds] == "val")
    views = len(features)
    return folds, Problem(
        torch.cat(features),
        torch.tensor(values).repeat(views),
        train.repeat(1, views),
        torch.cat([val, torch.zeros_like(val).repeat(1, views - 1)], 1),
        torch.stack([_class_weights(cfg, inputs.targets, mask) for mask in train.numpy()]),
    )


def _head_of_all_photos(
    cfg: DictConfig, inputs: FoldInputs, problem: Problem, penalties: Sequence[float]
) -> LinearHead:
    """Return the head of every photo and view, with the median penalty of the folds; nothing is chosen."""
    every = torch.ones(1, len(problem.targets), dtype=torch.bool)
    weights = _class_weights(cfg, inputs.targets, np.arange(len(inputs.targets.values)))[None]
    whole = Problem(problem.features, problem.targets, every, every, weights)
    return fit_heads(whole, [statistics.median_low(penalties)])[0]


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
        **{name: value for name, value in cfg.schedule.finetune.items() if name not in LENGTH},
        epochs=epochs,
        label_smoothing=cfg.label_smoothing,
        class_weights=_class_weights(cfg, inputs.targets, inputs.data.rows("train")),
        mix=mix(num_classes=len(inputs.targets.classes)) if mix else None,
        seed=cfg.seed,
    )
    if cfg.compile:
        network.compile()
    trainer.fit(module, inputs.data, ckpt_path=resumed and str(resumed), weights_only=True)
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
