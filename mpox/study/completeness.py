"""The jobs of a study, a model on a fold each: the state of each run directory, and its contents where it is sound."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpox.data.folds import Folds
from mpox.errors import UserError
from mpox.files import read_json, read_yaml
from mpox.runs.run_state import damage
from mpox.stats.comparison import JobState
from mpox.stats.predictions import PREFIX, read_predictions, score

FILES = ("config.yaml", "predictions.parquet", "metrics.json", "environment.json")
# States of a job other than done, the gravest first, each with what to do about it.
FIXES = {
    "duplicated": "delete the copy and train that fold",
    "other splits": "train it again with overwrite=true, or give it a study= of its own",
    "other photos": "train it again with overwrite=true",
    "other classes": "compare studies of one task only, or train it again with overwrite=true",
    "not finite": "train it again with overwrite=true and a lower optimizer.lr",
    "unreadable": "train it again with overwrite=true",
    "damaged": "restore it, or train it again with overwrite=true",
    "failed": "its traceback.txt says why; typing the sweep again trains it again",
    "interrupted": "typing the sweep again resumes it",
    "running": "wait for it, or type the sweep again, which resumes it",
    "missing": "typing the sweep again trains it",
}
SHOWN = 4
# Figures of metrics.json that are computed again from the predictions, and the tolerance for rounding.
HELD, TOLERANCE = ("n", "accuracy", "balanced_accuracy", "nll", "brier"), 1e-6


@dataclass(frozen=True)
class Run:
    """One finished run: its configuration, its environment, and its predictions (tables sorted by photo id)."""

    model: str
    fold: int
    config: dict[str, Any]
    environment: dict[str, Any]
    classes: tuple[str, ...]
    positive: str | None
    test: pd.DataFrame
    val: pd.DataFrame


def read_jobs(path: Path, names: Sequence[str], folds: Folds) -> tuple[list[JobState], dict[tuple[str, int], Run]]:
    """Return the state of each job, models outer, and the runs that are sound, by model and fold."""
    wanted = []
    for name in names:
        given = {int(m[1]) for f in (path / name).iterdir() if (m := re.fullmatch(r"fold-(\d+)", f.name))}
        wanted += [(name, fold) for fold in sorted(given | set(range(len(folds.ids))))]
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(lambda job: _read_job(path, job[0], job[1], folds), wanted))
    runs = {(run.model, run.fold): run for _, run in read if run is not None}
    jobs = [job for job, _ in read]
    if runs:
        usual = Counter((run.classes, run.positive) for run in runs.values()).most_common(1)[0][0]
        for k, job in enumerate(jobs):
            run = runs.get((job.model, job.fold))
            if run is not None and (run.classes, run.positive) != usual:
                note = f"{', '.join(run.classes)} instead of {', '.join(usual[0])}"
                jobs[k] = JobState(job.model, job.fold, "other classes", note, False)
                del runs[job.model, job.fold]
    return jobs, runs


def _read_job(path: Path, model: str, fold: int, folds: Folds) -> tuple[JobState, Run | None]:
    state, note, run = _inspect(path / model / f"fold-{fold}", model, fold, folds)
    return JobState(model, fold, state, note, False), run


def _inspect(place: Path, model: str, fold: int, folds: Folds) -> tuple[str, str, Run | None]:
    """Return the state of one run directory, one line about it where it is not done, and the run where it is."""
    try:
        if not (place / "status.json").exists():
            return "missing", "", None
        status = read_json(place / "status.json")
        if (status["model"], status["fold"]) != (model, fold):
            return "duplicated", f"a copy of {status['model']} fold {status['fold']}", None
        if fold >= len(folds.ids):
            return "other splits", f"the study has folds 0 to {len(folds.ids) - 1}", None
        if status["state"] != "done":
            return str(status["state"]), str(status.get("error", "")), None
        if lacking := [name for name in FILES if not (place / name).exists()]:
            return "unreadable", f"lacks {', '.join(lacking)}", None
        if what := damage(place, FILES):
            return "damaged", what, None
        environment, metrics = read_json(place / "environment.json"), read_json(place / "metrics.json")
        if environment["splits_sha256"] != folds.sha256:
            return "other splits", f"hash {environment['splits_sha256'][:8]}, not {folds.sha256[:8]}", None
        table, classes = read_predictions(place / "predictions.parquet")
        if not np.isfinite(table[[PREFIX + name for name in classes]].to_numpy()).all():
            return "not finite", "its logits hold NaN or infinity", None
        parts = {}
        for split, k in (("test", fold), ("val", (fold + 1) % len(folds.ids))):
            parts[split] = table[table["split"] == split].sort_values("photo_id", ignore_index=True)
            ids = list(parts[split]["photo_id"])
            if len(set(ids)) < len(ids):
                return "duplicated", f"predictions.parquet names {len(ids) - len(set(ids))} {split} photos twice", None
            if ids != list(folds.ids[k]):
                return "other photos", f"its {split} photos are not those of fold {k}", None
        config = read_yaml(place / "config.yaml")
        if lacking := [name for name in ("model", "image_size") if name not in config]:
            return "unreadable", f"config.yaml lacks {' and '.join(lacking)}", None
        if list(metrics["classes"]) != classes or not set(table["label"]) <= set(classes):
            return "unreadable", "metrics.json and predictions.parquet name different classes", None
        if what := _unlike(metrics, parts, classes):
            return "damaged", what, None
    except (UserError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        return "unreadable", " ".join(str(error).replace(f"{place}/", "").split())[:160], None
    run = Run(model, fold, config, environment, tuple(classes), metrics["positive"], parts["test"], parts["val"])
    return "done", "", run


def _unlike(metrics: dict[str, Any], parts: dict[str, pd.DataFrame], classes: Sequence[str]) -> str:
    """Return which figure of metrics.json differs from the one computed from the predictions; empty where none does."""
    positive = metrics["positive"]
    for split, table in parts.items():
        found = score(table, classes, None if positive is None else classes.index(positive))
        for name in HELD:
            noted, gives = metrics[split].get(name), found[name] or 0.0
            if noted is not None and not math.isclose(noted, gives, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
                figures = f"{name} {noted:.6g} of the {split} photos, predictions.parquet gives {gives:.6g}"
                return f"metrics.json has {figures}: they are not of one run, or one of them was changed"
    return ""


def refuse(study: str, jobs: Sequence[JobState]) -> None:
    """Raise UserError naming the jobs of the gravest state that is not done."""
    for state, fix in FIXES.items():
        if bad := [job for job in jobs if job.state == state]:
            shown = "; ".join(f"{c.model} fold {c.fold}" + f" ({c.note})" * bool(c.note) for c in bad[:SHOWN])
            more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
            raise UserError(
                f"study {study}: {len(bad)} of {len(jobs)} runs are of the kind '{state}': {shown}{more}. {fix}; or "
                "compare what is sound with allow_partial=true"
            )
