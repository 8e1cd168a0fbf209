"""A study as a sweep would have left it, with predictions drawn at random: every file real, nothing trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpox.data.folds import Folds, make_folds, write_folds
from mpox.data.manifest import complete, write_manifest
from mpox.files import write_json
from mpox.runs.run_directory import RunDirectory
from mpox.stats.predictions import predictions_table, score, write_predictions

CLASSES = ("acne", "chickenpox", "healthy", "mpox")
TIMM_NAME = "mobilenetv3_small_100.lamb_in1k"
ENVIRONMENT = {"versions": {"torch": "2.13.0"}, "device": "cpu", "git_commit": None, "seconds": {"probe": 2.0}}


def manifest_of(n_photos: int, classes: tuple[str, ...] = CLASSES, per_group: int = 2, seed: int = 0) -> pd.DataFrame:
    """Photos of subjects with `per_group` photos each, from two sources, classes in turn."""
    group = np.arange(n_photos) // per_group
    label = np.array(classes)[group % len(classes)]
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "path": [f"{name}/{i:05d}.jpg" for i, name in enumerate(label)],
            "label": label,
            "source": np.where(group % 3 == 0, "clinic", "web"),
            "subject": [f"s{k}" for k in group],
            "sha256": [f"{i:064x}" for i in range(n_photos)],
            "width": random.choice([224, 640, 2000], n_photos),
            "height": random.choice([224, 640, 2000], n_photos),
        }
    )
    return complete(frame, "web")


def make_study(
    runs: Path,
    study: str,
    models: dict[str, float],
    *,
    n_photos: int = 240,
    n_folds: int = 10,
    classes: tuple[str, ...] = CLASSES,
    positive: str | None = "mpox",
    metrics: bool = True,
    absent: tuple[str, int] | None = None,
    seed: int = 0,
) -> Path:
    """Write a study of `models`, name to skill: the lead that the true class's logit has on average.

    Photos are as hard for every model, and photos of one subject are alike, as in life.
    `absent`: a class that fold so-and-so is to lack; its photos of it go to the next fold.
    """
    manifest = manifest_of(n_photos, classes)
    folds = make_folds(manifest, n_folds, seed)
    if absent:
        folds = without(folds, manifest, *absent)
    write_manifest(manifest, runs / study / "manifest.parquet")
    write_folds(folds, runs / study / "splits.json")
    write_json(runs / study / "data.json", {"root": str(runs), "data": {}})
    targets = manifest["label"].map({name: k for k, name in enumerate(classes)}).to_numpy("int64")
    random = np.random.default_rng(seed)
    subject = np.unique(manifest["group"], return_inverse=True)[1]
    shared = random.normal(size=(subject.max() + 1, len(classes)))[subject] + random.normal(
        size=(n_photos, len(classes))
    )
    for name, skill in models.items():
        for fold in range(n_folds):
            logits = shared + 0.7 * random.normal(size=shared.shape) + skill * np.eye(len(classes))[targets]
            write_run(runs, study, name, fold, manifest, folds, logits, classes, positive, metrics=metrics)
    return runs / study


def without(folds: Folds, manifest: pd.DataFrame, label: str, fold: int) -> Folds:
    """Move one class from a fold to the next."""
    moved = set(manifest.loc[manifest["label"] == label, "photo_id"]) & set(folds.ids[fold])
    ids = [set(photos) - moved for photos in folds.ids]
    ids[(fold + 1) % len(ids)] |= moved
    return Folds(tuple(tuple(sorted(photos)) for photos in ids), folds.seed)


def write_run(
    runs: Path,
    study: str,
    model: str,
    fold: int,
    manifest: pd.DataFrame,
    folds: Folds,
    logits: np.ndarray,
    classes: tuple[str, ...],
    positive: str | None,
    *,
    metrics: bool = True,
    timm_name: str = TIMM_NAME,
    **changes: Any,
) -> None:
    """Write one run directory as training does, from logits of all photos; `changes` are to its configuration."""
    run = RunDirectory(runs, study, model, fold)
    config: dict[str, Any] = {
        "study": study,
        "fold": fold,
        "model": {"name": model, "timm_name": timm_name},
        "image_size": 224,
        "seed": 0,
        "optimizer": {"lr": 1e-4},
        "augment": {"size": 224},
        **changes,
    }
    targets = manifest["label"].map({name: k for k, name in enumerate(classes)}).to_numpy("int64")
    roles = folds.roles(fold).reindex(manifest["photo_id"]).to_numpy(str)
    rows = np.flatnonzero(roles != "train")
    table = predictions_table(manifest, rows, logits[rows], classes=classes, targets=targets, splits=roles, fold=fold)
    run.path.mkdir(parents=True)
    run.begin(config, overwrite=True)
    write_predictions(table, run.path / "predictions.parquet")
    result: dict[str, Any] = {"classes": list(classes), "positive": positive}
    k = None if positive is None else classes.index(positive)
    for split in ("val", "test"):
        result[split] = score(table[table["split"] == split], classes, k) if metrics else {}
    write_json(run.path / "metrics.json", result)
    write_json(run.path / "environment.json", {**ENVIRONMENT, "splits_sha256": folds.sha256})
    run.finish(seconds=2.0)
