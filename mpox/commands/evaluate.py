"""Score the networks of a study on photos it has never seen. See `python -m mpox.evaluate --help`."""

import hashlib
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig

from mpox.command_line import command
from mpox.commands.external_photos import given_pairs, photos_seen, photos_to_score, whole_list
from mpox.commands.field import run_field
from mpox.config import plain
from mpox.console import results_console
from mpox.data.folds import ALL
from mpox.errors import UserError
from mpox.external.kin import relatives
from mpox.external.mapping import STUDY_PREFIX, absent_classes, collapse, of_classes_there, task_classes
from mpox.external.scoring import ExternalSet, external_set, mean_of_folds, predict, write_external
from mpox.external.truth import is_true, truth_of, truth_sha256
from mpox.files import read_record, write_json
from mpox.heap import keep_freed_memory
from mpox.model.checkpoint import load_checkpoint
from mpox.places import folder_name
from mpox.report.external_table import SHOWN, external_table, threshold_table
from mpox.runs import environment
from mpox.runs.opened import choose_device
from mpox.runs.run_directory import RunDirectory
from mpox.runs.run_state import CONFIG, damage, fold_of, state_of
from mpox.stats import printed
from mpox.stats.predictions import PREFIX, read_predictions, score, write_predictions
from mpox.study.external_threshold import networks_at_threshold
from mpox.study.final_network import check_final
from mpox.study.not_scored import not_scored

log = logging.getLogger("mpox")
# Files of a scored run: a run directory without a network of its own.
RESULTS = ("predictions.parquet", "metrics.json", "environment.json")
# Configuration of places and speed, not of what is scored.
_PLACES = ("runs_dir", "cache_dir", "study_root", "overwrite", "threads", "device", "models")


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Score every finished run of the study; return {model: {"internal": …, "external": …, "ensemble": …, …}}.

    internal and external are lists of metrics, one a fold; final, where the model has a network of every photo, its
    metrics. at_threshold is the content of at_threshold.json: by the rule that leaves the study. Runs already scored
    with the same configuration are read.
    Raises UserError for whatever the user can fix.
    """
    config = plain(cfg)
    study = Path(cfg.runs_dir) / folder_name("study", cfg.study)
    runs = _finished(study, config["models"])
    own, known = _classes(runs)
    classes, positive = task_classes(own, known, binary=cfg.binary)
    found = photos_to_score(cfg)
    name = cfg.name or "+".join(sorted(found.manifest["source"].unique()))
    folder_name("name", name)
    pairs = given_pairs(cfg.pairs)
    seen = photos_seen(study, cfg.study_root, Path(cfg.cache_dir), opened=cfg.duplicates == "perceptual")
    kin = None
    if not found.drawn and cfg.duplicates != "off":  # subjects of generated photos have the same names in every set
        kin = relatives(found.manifest, seen.manifest, whole_list(config["data"]))
    photos = external_set(
        name,
        found,
        seen,
        classes,
        positive,
        mapping=config["map"] or {},
        names=config["positive"],
        check=cfg.duplicates,
        pairs=pairs,
        kin=kin,
    )
    flow = ", ".join(f"{count} {what}" for what, count in photos.flow.items() if count)
    log.info("%s: %s", name, flow)
    folder = study / "external" / name
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    results: dict[str, Any] = {}
    for model, paths in runs.items():
        every = [_score(cfg, config, path, photos) for path in paths]
        scored = [table for table, path in zip(every, paths, strict=True) if not _is_final(path)]
        final = every[len(scored) :]
        whole = mean_of_folds(scored, photos)
        write_predictions(whole, folder / model / "ensemble" / "predictions.parquet")
        together = _scored(whole, photos)
        write_json(folder / model / "ensemble" / "metrics.json", _named(photos, together))
        results[model] = {
            "internal": [_internal(path, classes, positive) for path in paths if not _is_final(path)],
            "external": [_scored(table, photos) for table in scored],
            "ensemble": together,
            **({"final": _scored(final[0], photos)} if final else {}),
            "at_threshold": networks_at_threshold(paths, every, own, None if positive is None else classes[positive]),
        }
        write_json(folder / model / "at_threshold.json", results[model]["at_threshold"])
        if list(classes) != own and any(f"{STUDY_PREFIX}{own[0]}" not in table for table in every):
            log.warning(
                "%s was scored by an earlier version, which did not keep what the threshold needs: overwrite=true "
                "scores it at the threshold too",
                model,
            )
    facts = {"duplicates": cfg.duplicates, "map": config["map"] or {}, "photos_sha256": _photos_sha256(photos)}
    facts |= {"copies": found.copies, "truth_sha256": truth_sha256(truth_of(photos))}
    write_external(photos, folder, study=cfg.study, **facts)
    return results


def _score(cfg: DictConfig, config: dict[str, Any], run: Path, photos: ExternalSet) -> pd.DataFrame:
    """Score one run's network, or read what was scored before; the files are those of a run directory."""
    checkpoint = run / "checkpoint.ckpt"
    if not checkpoint.is_file():
        raise UserError(f"{run} has no checkpoint.ckpt: train it again, or leave its model out with models=[…]")
    model, fold = run.parent.name, fold_of(run)
    assert fold is not None
    what = {key: value for key, value in config.items() if key not in _PLACES}
    what |= {"model": model, "fold": fold, "checkpoint_sha256": _sha256(checkpoint.read_bytes())}
    what |= {"photos_sha256": _photos_sha256(photos)}
    place = RunDirectory(run.parents[1] / "external", photos.name, model, fold, RESULTS)
    if not cfg.overwrite and (scored := _scored_before(place, what, photos)) is not None:
        return scored
    with place.claimed():
        # Scored by a command that was killed at its last step.
        if not cfg.overwrite and (scored := _scored_before(place, what, photos)) is not None:
            return scored
        if not cfg.overwrite and place.state == "done":
            log.info("%s: done, but labels or groups were corrected since: it is scored again", place.place)
        place.begin(what, overwrite=True)
        with place.attempted():
            network, card = load_checkpoint(checkpoint)
            device = choose_device(cfg.device)
            table = predict(network, card, photos, batch_size=cfg.batch_size, device=device, cache=Path(cfg.cache_dir))
            write_predictions(table, place.path / "predictions.parquet")
            metrics = _scored(table, photos)
            write_json(place.path / "metrics.json", _named(photos, metrics))
            facts = {"study": cfg.study, "splits_sha256": card.splits_sha256}
            write_json(place.path / "environment.json", environment.record(device, **facts))
        place.finish()
        place.settle()
    first = next((name for name in SHOWN if metrics.get(name) is not None), SHOWN[-1])
    log.info("%s fold %s on %s: %s %s", model, fold, photos.name, first, printed.number(metrics.get(first)))
    return table


def _scored_before(place: RunDirectory, what: dict[str, Any], photos: ExternalSet) -> pd.DataFrame | None:
    """Return the predictions that are there; None where there are none, or labels or groups were corrected since."""
    if not place.is_finished(what):
        return None
    table = read_predictions(place.path / "predictions.parquet")[0]
    return table if is_true(table, photos) else None


def _scored(table: pd.DataFrame, photos: ExternalSet) -> dict[str, Any]:
    """Score the predictions of the photos; a mean over the classes is None where one of them has no photos."""
    found = score(table, photos.classes, photos.positive)
    return of_classes_there(found, absent_classes(photos.classes, table["label"]))


def _is_final(run: Path) -> bool:
    return fold_of(run) == ALL


def _finished(study: Path, models: Sequence[str] | None) -> dict[str, list[Path]]:
    """Return the finished run directories of each model, folds in order, then the network of every photo.

    What is not finished is named in a warning. UserError where a model that is asked for has no finished fold, or a
    network of every photo that is of other folds.
    """
    if not study.is_dir():
        raise UserError(f"there is no study at {study}: give study=<name> and runs_dir=<folder>")
    runs: dict[str, list[Path]] = {}
    places = {place: fold for place in study.glob("*/fold-*") if (fold := fold_of(place)) is not None}
    for place in sorted(places, key=lambda place: math.inf if _is_final(place) else int(places[place])):
        if state_of(place) == "done":
            if what := damage(place, [CONFIG, "predictions.parquet", "metrics.json"]):
                raise UserError(f"{place}: its {what}: restore it, or train the job again")
            runs.setdefault(place.parent.name, []).append(place)
    runs = {model: paths for model, paths in runs.items() if not _is_final(paths[0])}
    chosen = sorted(runs) if models is None else list(models)
    if unknown := [model for model in chosen if model not in runs]:
        raise UserError(f"study {study} has no finished run of {', '.join(unknown)}: it has {', '.join(sorted(runs))}")
    if not chosen:
        raise UserError(f"study {study} has no finished run: train one with python -m mpox.train study={study.name}")
    for line in not_scored(study, {model: runs[model] for model in chosen}, models):
        log.warning("%s", line)
    for model in chosen:
        for place in filter(_is_final, runs[model]):
            check_final(place)
    return {model: runs[model] for model in chosen}


def _classes(runs: dict[str, list[Path]]) -> tuple[list[str], int | None]:
    """Return the classes all runs share and the index of mpox among them."""
    metrics = [
        read_record(run / "metrics.json", classes=list, positive=str | None) for paths in runs.values() for run in paths
    ]
    kinds = {(tuple(content["classes"]), content["positive"]) for content in metrics}
    if len(kinds) > 1:
        shown = "; ".join(", ".join(classes) for classes, _ in sorted(kinds))
        raise UserError(f"the runs of this study know different classes ({shown}): choose models=[…] that agree")
    classes, positive = kinds.pop()
    return list(classes), None if positive is None else classes.index(positive)


def _internal(run: Path, classes: Sequence[str], positive: int | None) -> dict[str, Any]:
    """Metrics of the run's own test fold, in the classes that are scored."""
    table, own = read_predictions(run / "predictions.parquet")
    table = table[table["split"] == "test"]
    if list(classes) == own:
        return score(table, classes, positive)
    mpox = classes[1]
    pairs = collapse(table[[f"{PREFIX}{name}" for name in own]].to_numpy(), own.index(mpox))
    table = table.assign(label=table["label"].where(table["label"] == mpox, classes[0]))
    columns = dict(zip((f"{PREFIX}{name}" for name in classes), pairs.T, strict=True))
    return score(table.assign(**columns), classes, positive)


def _named(photos: ExternalSet, metrics: dict[str, Any]) -> dict[str, Any]:
    positive = None if photos.positive is None else photos.classes[photos.positive]
    return {"classes": list(photos.classes), "positive": positive, "external": metrics}


def _photos_sha256(photos: ExternalSet) -> str:
    ids = "\n".join(photos.photos.manifest["photo_id"] + photos.photos.manifest["sha256"])
    return _sha256(ids.encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def run(cfg: DictConfig) -> None:
    """Score the study's networks and print the table, or that of what was seen after deployment (`field`)."""
    keep_freed_memory()
    if cfg.field is not None:
        run_field(cfg)
        return
    results = evaluate(cfg)
    console = results_console()
    console.print(external_table(str(cfg.study), results))
    if (by_rule := threshold_table(results)) is not None:
        console.print(by_rule)
    console.print(f"{command('mpox.compare', study=cfg.study, runs_dir=cfg.runs_dir)} shows internal against external")
