"""A finished run to explain: a small CNN trained for a moment on small synthetic photos that have lesion masks."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from mpox.commands.explain import explain
from mpox.options import config_dir
from mpox.runs.opened import OpenedRun, open_run
from mpox.training.job import train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the run: 24 photos, 3 folds, random weights, one epoch, explained at its end."""
    options = [
        *("weights=none", "model=mobilenetv3_small_100", "n_folds=3", "image_size=96", "batch_size=8", "trainer=cpu"),
        *("schedule=finetune", "schedule.finetune.epochs=1", "logger=none", "callbacks=gradcam", "study=tried"),
        *("data.subjects_per_class=3", "data.photos_per_subject=2", "data.size=96"),
        "model.features=last",  # Grad-CAM of the last maps is then the whole of it, and rarely blank by random weights
        f"runs_dir={tmp_path_factory.mktemp('explained')}",
    ]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("train", options)
    train(cfg)
    run = Path(cfg.runs_dir) / "tried" / "mobilenetv3_small_100" / "fold-0"
    shutil.copytree(run / "explain", run / "explained_at_end")  # tests explain the run again, in any order
    return run


@pytest.fixture(scope="session")
def run(trained: Path) -> OpenedRun:
    """The run, opened."""
    return open_run(trained)


@pytest.fixture
def configured(trained: Path) -> Callable[..., DictConfig]:
    """Compose the real explain.yaml for the run."""

    def composed(*overrides: str) -> DictConfig:
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return compose("explain", [f"run={trained}", "batch_size=3", *overrides])

    return composed


@pytest.fixture
def page(configured: Callable[..., DictConfig], trained: Path) -> Iterator[Callable[..., Path]]:
    """Make the page with the given options, and with so many blank maps."""
    kept = trained / "explain"

    def made(*options: str, blank: int = 0) -> Path:
        # Maps of all validation and test photos, so that there are ten to rate.
        folder = Path(explain(configured("split=all", "target=predicted"))["folder"])
        index = pd.read_parquet(folder / "index.parquet")
        index.loc[: blank - 1, "blank"] = True
        index.to_parquet(folder / "index.parquet")
        for name in index["map"][:blank]:
            with np.load(folder / name) as content:
                written = dict(content)
            np.savez_compressed(folder / name, **{**written, "map": -np.abs(written["map"])})
        return Path(explain(configured("command=review", *options))["page"])

    yield made
    for name in ("review.html", "review-page.json", "ratings.json", "ratings.md"):
        (kept / name).unlink(missing_ok=True)
