"""The networks of one model: whether its folds were trained alike, and the final network as the folds are now.

A rule from logits to a finding is fitted on what the folds' networks say of photos held out from them. It is the rule
of other networks where one of them has been trained again by another recipe since.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mpox.command_line import command
from mpox.data.folds import ALL, Fold
from mpox.errors import UserError
from mpox.files import read_yaml
from mpox.runs.differences import SINCE, differences, leaves
from mpox.runs.run_state import CONFIG, fold_of, state_of
from mpox.stats.predictions import PREFIX, read_predictions

PREDICTIONS = "predictions.parquet"
# Of a run, not of the recipe that folds share: the final network's callbacks are made from those of a fold.
_OWN = ("fold", "seed", "hydra", "callbacks")
# Groups that hold other keys where another of them is chosen. Elsewhere, a key that one run lacks came with a later
# version.
_GROUPS = ("schedule", "augment")
# How many differences a message shows.
SHOWN = 3


def final_command(study: str, model: str, runs_dir: Path = Path("runs"), **options: Any) -> str:
    """Return the command that fits the chosen model on every photo."""
    place = {} if runs_dir.resolve() == Path("runs").resolve() else {"runs_dir": runs_dir}
    return command("mpox.train", study=study, model=model, fold=ALL, **options, **place)


def check_final(place: Path) -> None:
    """Raise UserError where the final network in `place` is not of the folds beside it.

    It holds what the folds that it was fitted after said of their photos; folds that are not there tell nothing.
    """
    for fold in _folds(place.resolve().parent) if (place / CONFIG).is_file() else ():
        changes = recipe_changes(read_yaml(place / CONFIG), read_yaml(fold / CONFIG))
        if not changes and len({answers_of(fold, fold_of(fold)), answers_of(place, fold_of(fold))} - {None}) > 1:
            changes = ["its answers are others"]
        if changes:
            study, model = place.resolve().parts[-3:-1]
            again = final_command(study, model, place.resolve().parents[2], overwrite=True)
            raise UserError(
                f"{place} was fitted after other folds: {fold.name} was trained again since "
                f"({'; '.join(changes[:SHOWN])}): fit it again: {again}"
            )


def check_alike(model: Path) -> None:
    """Raise UserError where the finished folds of a model (its folder) were not trained by one recipe."""
    if what := unlike_folds(model.name, {fold_of(place): read_yaml(place / CONFIG) for place in _folds(model)}):
        raise UserError(f"{what}: train them alike, with overwrite=true")


def unlike_folds(model: str, configs: Mapping[Fold | None, Mapping[str, Any]]) -> str:
    """Say how the folds of a model, by number, were trained differently; empty where they were not."""
    first, *others = configs
    for fold in others:
        if changes := recipe_changes(configs[first], configs[fold]):
            shown = "; ".join(changes[:SHOWN])
            return f"the folds of {model} were not trained alike (fold {first} to fold {fold}: {shown})"
    return ""


def recipe_changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return `key: one -> other` for what two runs of a model were trained by, not the fold or what came later."""
    first, second = leaves(one), leaves(other)
    compared = {
        key
        for key in first.keys() | second.keys()
        if key.partition(".")[0] not in _OWN
        and (key.partition(".")[0] in _GROUPS or key in SINCE or (key in first and key in second))
    } | {"runs_dir", "cache_dir"}
    return differences(*({key: own[key] for key in own.keys() & compared} for own in (first, second)))


def answers_of(place: Path, fold: Fold | None) -> str | None:
    """Return the SHA-256 of what the network of a fold says of its test photos, by the predictions of `place`.

    None where they are not there. Those of the final network hold a copy of each fold's.
    """
    if not (place / PREDICTIONS).is_file():
        return None
    table, classes = read_predictions(place / PREDICTIONS)
    table = table[(table["split"] == "test") & (table["fold"] == fold)]
    if table.empty:
        return None
    return answers_sha256(table["photo_id"].to_numpy(), table[[f"{PREFIX}{name}" for name in classes]].to_numpy())


def answers_sha256(photo_ids: np.ndarray, logits_NC: np.ndarray) -> str:
    """Return the SHA-256 of logits, taken as float32, and the photos they are of, in whatever order they come."""
    ids = photo_ids.astype(str)
    order = np.argsort(ids)
    content = "\n".join(ids[order]).encode() + b"\n"
    return hashlib.sha256(content + np.asarray(logits_NC, "<f4")[order].tobytes()).hexdigest()


def _folds(model: Path) -> list[Path]:
    """Return the finished folds of a model, by number."""
    places = [place for place in model.glob("fold-*") if isinstance(fold_of(place), int)]
    done = [place for place in places if (place / CONFIG).is_file() and state_of(place) == "done"]
    return sorted(done, key=lambda place: int(str(fold_of(place))))
