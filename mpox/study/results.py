"""A study read for comparison: its run directories checked against its splits, and predictions as aligned arrays.

Needs neither photos nor a GPU. A job (a model on a fold) that cannot be compared is refused, or with `allow_partial`
left out and named; every model is then scored on the same folds.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from mpox.data.folds import read_folds
from mpox.data.manifest import read_manifest
from mpox.errors import UserError
from mpox.files import read_record
from mpox.runs.differences import NOT_COMPARED, leaves
from mpox.stats.comparison import JobState
from mpox.stats.intervals import group_codes
from mpox.stats.predictions import PREFIX
from mpox.study.completeness import SHOWN, Run, read_jobs, refuse
from mpox.study.final_network import unlike_folds

_ABSENT = "(not set)"


@dataclass(frozen=True)
class ModelRuns:
    """One model on the folds compared.

    logits float64 (N, C) in the order of `StudyResults.photos`; val: logits (M, C), targets and groups int64 (M) of
    each fold's validation photos; seconds: mean wall time of a job, None where it was not recorded.
    """

    name: str
    logits: np.ndarray
    val: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]
    config: dict[str, Any]
    seconds: float | None


@dataclass(frozen=True)
class StudyResults:
    """What `compare` needs of a study.

    photos: one row a test photo of the folds compared, by fold and photo id, with the manifest's columns, `fold` and
    the task's `label`; targets int64 (N) into classes; fold_index int64 (N) into folds; codes int64 (N) number groups.
    train_sizes, test_sizes: photos of each fold compared. config: leaves (dotted) that all runs share.
    """

    name: str
    path: Path
    n_folds: int
    folds: tuple[int, ...]
    splits_sha256: str
    classes: tuple[str, ...]
    positive: int | None
    jobs: tuple[JobState, ...]
    manifest: pd.DataFrame
    photos: pd.DataFrame
    targets: np.ndarray
    fold_index: np.ndarray
    codes: np.ndarray
    train_sizes: tuple[int, ...]
    test_sizes: tuple[int, ...]
    models: tuple[ModelRuns, ...]
    config: dict[str, Any]
    versions: dict[str, str | None]
    warnings: tuple[str, ...]

    @property
    def test_to_train(self) -> float:
        """Test photos over training photos, the mean of the folds: how much their training sets overlap."""
        sizes = zip(self.test_sizes, self.train_sizes, strict=True)
        return float(np.mean([test / train for test, train in sizes]))


def read_study(
    runs_dir: str | Path, study: str, *, allow_partial: bool = False, models: Sequence[str] | None = None
) -> StudyResults:
    """Read all models of a study (or those named) on all its folds.

    Raises UserError for a study that is not there or holds no runs, a model it does not have, and, unless
    `allow_partial`, for any job that is not done or does not fit; with it, where no fold is common to all models.
    """
    path = Path(runs_dir) / study
    names = _model_names(path, models)
    manifest = read_manifest(path / "manifest.parquet")
    splits = path / "splits.json"
    if not splits.is_file():
        raise UserError(
            f"{splits} is missing: restore it; without the splits nothing shows that the folds are the same"
        )
    folds = read_folds(splits, manifest)
    jobs, runs = read_jobs(path, names, folds)
    if not allow_partial:
        refuse(study, jobs)
    used = _common_folds(study, names, runs, len(folds.ids))
    warnings = _warn_of_gaps(jobs, names, runs, used, len(folds.ids))
    kept = {name: [runs[name, fold] for fold in used] for name in names if any((name, fold) in runs for fold in used)}
    photos = _photos(manifest, next(iter(kept.values())), used)
    first = next(iter(kept.values()))[0]
    index = {label: k for k, label in enumerate(first.classes)}
    config, different = _shared([run for of_model in kept.values() for run in of_model])
    versions, mixed = _versions([run for of_model in kept.values() for run in of_model])
    total = sum(map(len, folds.ids))
    n_test = tuple(len(folds.ids[fold]) for fold in used)
    n_val = tuple(len(folds.ids[(fold + 1) % len(folds.ids)]) for fold in used)
    return StudyResults(
        name=study,
        path=path,
        n_folds=len(folds.ids),
        folds=used,
        splits_sha256=folds.sha256,
        classes=first.classes,
        positive=None if first.positive is None else index[first.positive],
        jobs=tuple(
            JobState(job.model, job.fold, job.state, job.note, job.model in kept and job.fold in used) for job in jobs
        ),
        manifest=manifest,
        photos=photos,
        targets=photos["label"].map(index).to_numpy("int64"),
        fold_index=photos["fold"].map({fold: k for k, fold in enumerate(used)}).to_numpy("int64"),
        codes=group_codes(photos["group"].to_numpy()),
        train_sizes=tuple(total - test - val for test, val in zip(n_test, n_val, strict=True)),
        test_sizes=n_test,
        models=tuple(_model_runs(of_model, index) for of_model in kept.values()),
        config=config,
        versions=versions,
        warnings=(*_copies(path), *warnings, *different, *mixed, *_unlike(kept), *_other_weights(kept)),
    )


def _copies(path: Path) -> list[str]:
    """Say which copies were not searched for when the study was made; older studies do not say."""
    place = path / "data.json"
    copies = (read_record(place, copies=dict | None).get("copies") if place.exists() else None) or {}
    if not copies.get("not_searched"):
        return []
    return [
        f"{copies['not_searched']} were not searched for (data_guard.search={copies['search']}): where there are any, "
        "they may be in training and test, and figures are too good"
    ]


def _model_names(path: Path, models: Sequence[str] | None) -> list[str]:
    if not path.is_dir():
        raise UserError(f"there is no study at {path}: give study=<name> (and runs_dir=<folder>)")
    found = sorted({folder.parent.name for folder in path.glob("*/fold-*") if folder.is_dir()})
    if not found:
        raise UserError(f"study {path.name} has no models in {path}: train some with python -m mpox.train -m")
    if unknown := sorted(set(models or ()) - set(found)):
        raise UserError(f"study {path.name} has no model {', '.join(unknown)}: it has {', '.join(found)}")
    return sorted(set(models)) if models else found


def _common_folds(study: str, names: Sequence[str], runs: dict[tuple[str, int], Run], n_folds: int) -> tuple[int, ...]:
    """Return the folds on which every model that has any sound run has one. UserError where there is none."""
    done = {name: {fold for fold in range(n_folds) if (name, fold) in runs} for name in names}
    done = {name: folds for name, folds in done.items() if folds}
    if not done:
        raise UserError(f"study {study} has no finished run that can be compared: train one with python -m mpox.train")
    if common := set.intersection(*done.values()):
        return tuple(sorted(common))
    fewest = min(done, key=lambda name: len(done[name]))
    raise UserError(
        f"no fold of study {study} is done for all of its {len(done)} models, and models are only ranked on the same "
        f"folds: finish the sweep, or name those to compare with models=[…] ({fewest} has only {len(done[fewest])})"
    )


def _warn_of_gaps(
    jobs: Sequence[JobState], names: Sequence[str], runs: dict[tuple[str, int], Run], used: Sequence[int], n_folds: int
) -> list[str]:
    warnings = []
    absent = [name for name in names if not any((name, fold) in runs for fold in used)]
    for name in absent:
        states = Counter(job.state for job in jobs if job.model == name)
        shown = ", ".join(f"{count} {state}" for state, count in states.items())
        warnings.append(f"{name} is left out: no sound run ({shown})")
    if len(used) < n_folds:
        short = [f"{name} fold {fold}" for name in names if name not in absent for fold in range(n_folds)
                 if (name, fold) not in runs]  # fmt: skip
        warnings.append(
            f"only {len(used)} of {n_folds} folds are compared, those that every model has; not there: "
            f"{', '.join(short[:SHOWN])}{f' and {len(short) - SHOWN} more' if len(short) > SHOWN else ''}"
        )
    return warnings


def _photos(manifest: pd.DataFrame, runs: Sequence[Run], folds: Sequence[int]) -> pd.DataFrame:
    """Join one model's test photos to the manifest: by fold, then photo id; label, group and source as when trained."""
    tables = [run.test[["photo_id", "path", "group", "source", "label"]].assign(fold=run.fold) for run in runs]
    photos = pd.concat(tables, ignore_index=True)
    # `fold`: a column of that name in the user's own manifest would hide the study's.
    rest = manifest.drop(columns=["path", "group", "source", "label", "fold"], errors="ignore")
    return photos.merge(rest, on="photo_id", how="left", validate="one_to_one")


def _model_runs(runs: Sequence[Run], index: dict[str, int]) -> ModelRuns:
    columns = [PREFIX + label for label in index]
    val = tuple(
        (
            run.val[columns].to_numpy("float64"),
            run.val["label"].map(index).to_numpy("int64"),
            group_codes(run.val["group"].to_numpy()),
        )
        for run in runs
    )
    seconds = [sum(run.environment.get("seconds", {}).values()) for run in runs]
    return ModelRuns(
        runs[0].model,
        np.concatenate([run.test[columns].to_numpy("float64") for run in runs]),
        val,
        runs[0].config,
        float(np.mean(seconds)) if all(seconds) else None,
    )


def _shared(runs: Sequence[Run]) -> tuple[dict[str, Any], list[str]]:
    """Return the configuration leaves all runs share, and a warning where others than the model's differ."""
    found = [_settings(run) for run in runs]
    keys = dict.fromkeys(key for one in found for key in one)
    different = sorted(key for key in keys if any(one.get(key, _ABSENT) != found[0].get(key, _ABSENT) for one in found))
    shared = {key: value for key, value in found[0].items() if key not in different}
    if different:
        return shared, [f"the runs differ in more than the model: {', '.join(different)}"]
    return shared, []


def _settings(run: Run) -> dict[str, Any]:
    """Return a run's configuration leaves without its folder, its model, and what follows from it (photo side)."""
    found = {}
    for key, value in leaves(run.config).items():
        parents = {key.rsplit(".", n)[0] for n in range(key.count(".") + 1)}
        if parents & (NOT_COMPARED | {"model", "fold", "image_size", "hydra"}):
            continue
        follows = value == run.config.get("image_size") or (isinstance(value, str) and f"fold-{run.fold}" in value)
        found[key] = "(follows from the model)" if follows else value
    return found


def _unlike(models: Mapping[str, Sequence[Run]]) -> list[str]:
    """Warn of models whose folds were not trained by one recipe: a threshold of all of them is that of no network."""
    found = (unlike_folds(name, {run.fold: run.config for run in runs}) for name, runs in models.items())
    return [what for what in found if what]


def _other_weights(models: Mapping[str, Sequence[Run]]) -> list[str]:
    """Warn of models whose folds did not start from the same weights; their folder may differ by machine."""
    found = {}
    for name, runs in models.items():
        sources = (str(run.environment.get("weights", "")).partition(": ") for run in runs)
        found[name] = sorted({f"{kind} {PurePath(place).name}".strip() for kind, _, place in sources})
    return [f"the folds of {name} started from different weights: {', '.join(weights)}"
            for name, weights in found.items() if len(weights) > 1]  # fmt: skip


def _versions(runs: Sequence[Run]) -> tuple[dict[str, str | None], list[str]]:
    """Return package versions, device and commit of the runs, joined where they differ, and a warning if so."""
    found: dict[str, dict[str | None, None]] = {}
    for run in runs:
        facts = {**run.environment.get("versions", {}), **{k: run.environment.get(k) for k in ("device", "git_commit")}}
        for name, version in facts.items():
            found.setdefault(name, {})[version] = None
    joined = {name: " and ".join(str(v) for v in values) if len(values) > 1 else next(iter(values))
              for name, values in found.items()}  # fmt: skip
    mixed = sorted(name for name, values in found.items() if len(values) > 1)
    return joined, [f"the runs were not all made with the same {', '.join(mixed)}"] if mixed else []
