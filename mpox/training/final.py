"""The final network: the recipe of a model's folds, fitted once more on every photo, with nothing chosen again.

Penalty and, where an epoch was chosen, its number are the medians over the folds. No photo is held out from it: what is
to be expected of it is what cross-validation found of its folds, and its predictions file holds theirs.
"""

import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from mpox.command_line import command
from mpox.config import plain, rebased
from mpox.data.folds import ALL
from mpox.data.working_picture import resize_of
from mpox.errors import UserError
from mpox.files import read_record, read_yaml
from mpox.model.features import features_of
from mpox.runs.differences import NOT_COMPARED, differences
from mpox.runs.run_state import state_of
from mpox.stats.predictions import read_predictions
from mpox.study.final_network import check_alike
from mpox.study.results import read_study

# Where a job's environment.json says after how many epochs the weights that were kept had been trained.
KEPT_EPOCHS = "kept_epochs"
FEATURES = "model.features"


def recipe_of_folds(cfg: DictConfig, typed: Iterable[str]) -> DictConfig:
    """Return the configuration that the model's folds were trained with, for all photos, run where `cfg` says.

    `typed` are the overrides of the command line. Raises UserError where the folds are not done or not
    alike, or where the command asks for something else than their recipe.
    """
    folds = _done(cfg)
    check_alike(folds[0].parent)
    base = read_yaml(folds[0] / "config.yaml")
    made = OmegaConf.create({**base, "fold": ALL})
    if cfg.image_size is None:
        cfg.image_size = base["image_size"]
    asked = plain(cfg)
    if FEATURES not in _keys(typed):  # the folds may be older than the default
        asked["model"]["features"] = features_of(base["model"])
    if "resize" not in _keys(typed):
        asked["resize"] = resize_of(base)
    for key in NOT_COMPARED:
        value = OmegaConf.select(cfg, key)
        if value is not None or key in _keys(typed):
            OmegaConf.update(made, key, value, merge=False, force_add=True)
    own = Path(base["runs_dir"]) / cfg.study / cfg.model.name / folds[0].name
    if made.get("callbacks") is not None:  # they hold paths of the fold's own directory
        here = str(folds[0].with_name(f"fold-{ALL}"))
        made.callbacks = rebased(OmegaConf.to_container(made.callbacks), str(own), here)
    if base.get("logger") and "logger" not in {key.partition(".")[0] for key in _keys(typed)}:
        made.logger = _logger_of(base, cfg, folds[0])
    recipe = {**plain(made), "callbacks": base.get("callbacks"), "logger": asked.get("logger")}
    other = [
        change
        for change in differences(recipe, {**asked, "callbacks": asked.get("callbacks")})
        if any(change.startswith((f"{key}:", f"{key}.")) for key in _keys(typed) if key not in ("fold", "callbacks"))
    ]
    if other:
        raise UserError(
            f"fold={ALL} is fitted as the folds of {cfg.model.name} were ({'; '.join(other[:3])}): leave what differs "
            "out, or train the folds so, in another study="
        )
    made.callbacks = {
        name: {**node, "monitor": None} if node.get("monitor") else node
        for name, node in (made.callbacks or {}).items()
        if not str(node.get("_target_", "")).endswith(".EarlyStopping")
    }
    return made


def held_out_predictions(cfg: DictConfig) -> pd.DataFrame:
    """Return what the folds' networks say of the photos they did not train on: a predictions table, split `test`.

    Raises UserError where a fold of the model is not done, or does not fit the study.
    """
    read_study(cfg.runs_dir, cfg.study, models=[cfg.model.name])  # which checks them against the study
    tables = [read_predictions(place / "predictions.parquet")[0] for place in _done(cfg)]
    return pd.concat([table[table["split"] == "test"] for table in tables], ignore_index=True)


def median_epochs(cfg: DictConfig) -> int:
    """Return for how many epochs the final network is trained: the median of those whose weights the folds kept."""
    epochs = int(cfg.schedule.finetune.epochs)
    kept = []
    for place in _done(cfg):
        count = read_record(place / "environment.json", kept_epochs=int | None).get(KEPT_EPOCHS)
        callbacks = read_yaml(place / "config.yaml").get("callbacks") or {}
        chosen = any(node.get("monitor") for node in callbacks.values() if isinstance(node, Mapping))
        if count is None and chosen:
            raise UserError(
                f"{place} was trained by an earlier version, which did not note the epoch it kept: train the folds "
                "again"
            )
        kept.append(epochs if count is None else int(count))
    return int(statistics.median_low(kept))


def _logger_of(base: Mapping[str, Any], cfg: DictConfig, fold: Path) -> Any:
    """The logger of a fold's configuration for the final network: what was kept on this machine stays there."""
    node = rebased(dict(base["logger"]), str(base["runs_dir"]), str(cfg.runs_dir))
    node = rebased(node, str(fold), str(fold.with_name(f"fold-{ALL}")))
    return {**node, "fold": ALL} if "fold" in node else node


def _done(cfg: DictConfig) -> list[Path]:
    """The run directories of the model's folds. Raises UserError where one is not done."""
    place = Path(cfg.runs_dir) / cfg.study / cfg.model.name
    splits = place.parent / "splits.json"
    count = len(read_record(splits, folds=list)["folds"]) if splits.is_file() else 0
    folds = [place / f"fold-{k}" for k in range(count)]
    lacking = [path.name for path in folds if state_of(path) != "done"]
    if lacking or not folds:
        sweep = command(
            "mpox.train", "-m", f"study={cfg.study}", f"model={cfg.model.name}", f"fold=range({count or 10})"
        )
        what = f"{len(lacking)} of {count} folds are not done ({lacking[0]})" if lacking else "it has no folds yet"
        raise UserError(f"fold={ALL} of {place} rests on all folds of the model, but {what}: {sweep} trains them")
    return folds


def _keys(typed: Iterable[str]) -> set[str]:
    return {text.partition("=")[0].lstrip("+~") for text in typed}
