"""A whole study by the one command, against the plain baseline: a process a fold, every photo decoded every epoch."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from benchmarks.commands import Photos, fit_seconds, predictions, run
from mpox.model.backbone import input_record

RESAMPLES = 2000


def measure(
    place: Path,
    photos: Photos,
    models: Sequence[str],
    folds: int,
    schedule: str,
    baseline: Sequence[tuple[str, int]],
    epochs: int,
    options: Sequence[str],
) -> dict[str, Any]:
    """Run `models` x `folds` folds by one command, and the baseline's jobs of (model, fold) in `baseline` around it.

    `options` are those of mpox.train; the baseline trains `epochs` epochs, on the study's splits. Returns wall and
    processor seconds of both, how many times as long the baseline takes (a model's mean job times its jobs, where not
    all of them were run), and balanced accuracy of both on the photos that both tested.
    """
    name = f"{schedule}-{time.time_ns()}"
    study = place / "runs" / name
    ours = run(
        "mpox.train", "-m", *photos.options, "n_folds=10", f"runs_dir={place}/runs", f"schedule={schedule}", *options,
        f"study={name}", f"model={','.join(models)}", f"fold=range({folds})", f"cache_dir={place}/{name}",
    )  # fmt: skip
    jobs = [_baseline(photos, study / "splits.json", *job, schedule, epochs) for job in baseline]
    whole = {clock: _whole(jobs, models, folds, clock) for clock in ("wall", "processor")}
    return {
        "schedule": schedule, "models": list(models), "folds": folds, "seconds": round(ours.seconds, 1),
        "processor_seconds": round(ours.processor_seconds, 1), "fit_seconds": round(sum(fit_seconds(study)), 1),
        "baseline_jobs": [{key: job[key] for key in ("model", "fold", "wall", "processor")} for job in jobs],
        "baseline_epochs": epochs, "baseline_seconds": round(whole["wall"], 1),
        "baseline_processor_seconds": round(whole["processor"], 1),
        "baseline_scaled": len(jobs) < len(models) * folds,
        "speedup": round(whole["wall"] / ours.seconds, 2),
        "processor_speedup": round(whole["processor"] / ours.processor_seconds, 2),
        "scores": _scores(study, jobs, models),
    }  # fmt: skip


def _whole(jobs: list[dict[str, Any]], models: Sequence[str], folds: int, clock: str) -> float:
    """Seconds of the whole study at the baseline's mean job of each model; of all models for one it did not run."""
    means = {model: np.mean([job[clock] for job in jobs if job["model"] == model]) for model in models}
    overall = np.mean([job[clock] for job in jobs])
    return float(sum(overall if np.isnan(mean) else mean for mean in means.values())) * folds


def _baseline(photos: Photos, splits: Path, model: str, fold: int, schedule: str, epochs: int) -> dict[str, Any]:
    ran = run(
        "benchmarks.baseline", "--photos", str(photos.root), "--splits", str(splits), "--model", timm_name(model),
        "--fold", str(fold), "--schedule", "probe" if schedule == "probe" else "finetune", "--epochs", str(epochs),
    )  # fmt: skip
    times = {"wall": round(ran.seconds, 1), "processor": round(ran.processor_seconds, 1)}
    return {"model": model, "fold": fold, **times, **json.loads(ran.printed.splitlines()[-1])}


def timm_name(model: str) -> str:
    """Return the timm name of a bundled model: `<name>.in1k`."""
    name = f"{model}.in1k"
    input_record(name)  # a clear error for one that timm does not know
    return name


def _scores(study: Path, jobs: list[dict[str, Any]], models: Sequence[str]) -> dict[str, Any]:
    """Balanced accuracy of both over the test photos of the baseline's folds, ours with its 95 % interval."""
    table = predictions(study)
    table = table[table["split"] == "test"]
    logits = [column for column in table if str(column).startswith("logit_")]
    found = {}
    for model in dict.fromkeys(job["model"] for job in jobs):
        own = [job for job in jobs if job["model"] == model]
        rows = table[(table["model"] == model) & table["fold"].isin([job["fold"] for job in own])]
        labels, answers = (
            rows["label"].to_numpy(),
            np.array([str(c)[6:] for c in logits])[rows[logits].to_numpy().argmax(1)],
        )
        theirs = balanced_accuracy_score(
            [k for job in own for k in job["targets"]], [k for job in own for k in job["predicted"]]
        )
        rng = np.random.default_rng(0)
        samples = [rng.integers(0, len(labels), len(labels)) for _ in range(RESAMPLES)]
        low, high = np.quantile([balanced_accuracy_score(labels[s], answers[s]) for s in samples], [0.025, 0.975])
        found[model] = {
            "mpox": round(balanced_accuracy_score(labels, answers), 3), "low": round(float(low), 3),
            "high": round(float(high), 3), "baseline": round(theirs, 3), "photos": len(labels),
        }  # fmt: skip
    return found
