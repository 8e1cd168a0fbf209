"""The final network: every photo trains it, by the recipe of its folds, and the study's rule goes with it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from sklearn.linear_model import LogisticRegression

from mpox.commands.evaluate import evaluate
from mpox.commands.export import export
from mpox.commands.publish import run as publish
from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.mobile.run.run_model import RunModel
from mpox.model.checkpoint import load_checkpoint
from mpox.options import config_dir
from mpox.runs.opened import logits_of, open_run
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.held_out import rule_of_run
from mpox.training.final import KEPT_EPOCHS, median_epochs, recipe_of_folds
from mpox.training.job import train

Configured = Callable[..., DictConfig]
MODEL = "mobilenetv3_small_100"


def final(configured: Configured, *typed: str) -> DictConfig:
    """The configuration of `mpox.train … fold=all`, with what else is typed."""
    return recipe_of_folds(configured("fold=all", *typed), ["fold=all", *typed])


def study(configured: Configured, *options: str) -> Path:
    for fold in range(3):
        train(configured(*options, f"fold={fold}"))
    return Path(configured().runs_dir) / "default" / MODEL


def test_every_photo_trains_it_with_the_median_penalty(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    place = study(configured, "schedule=probe")
    used: list[float] = []
    from mpox.model import probe
    from mpox.training import probing

    solve = probe.fit_heads
    monkeypatch.setattr(probing, "fit_heads", lambda problem, l2: used.extend(l2) or solve(problem, l2))
    result = train(final(configured))
    chosen = [line for k in range(3) for line in (place / f"fold-{k}" / "train.log").read_text().splitlines()
              if "L2" in line]  # fmt: skip
    penalties = sorted(float(line.split("L2 ")[1].split()[0]) for line in chosen)
    assert used == [penalties[1]]

    # The head is that of scikit-learn on the features of all photos.
    run = open_run(place / "fold-all", device="cpu")
    assert run.is_final and len(run.rows("test")) == len(run.rows("train")) == 24
    with torch.no_grad():
        features = run.network.features(run.images(run.rows("all"))).double().numpy()
    parts = np.split(features, np.cumsum(run.network.feature_widths)[:-1], axis=1)
    assert len(parts) > 1  # those of the stages, each brought to one total variance
    features = np.concatenate([part / np.sqrt(part.var(0).sum()) for part in parts], axis=1)
    scale = np.sqrt(np.square(features - features.mean(0)).mean())
    reference = LogisticRegression(C=1 / (used[0] * 24), tol=1e-10, max_iter=5000)
    reference.fit((features - features.mean(0)) / scale, run.photos["target"])
    expected = reference.predict_proba((features - features.mean(0)) / scale)
    given = logits_of(run.network, run.images(run.rows("all")), 8).double().softmax(1).numpy()
    np.testing.assert_allclose(given, expected, atol=2e-3)

    # No photo is held out from it: what it says of itself is what the folds say.
    assert set(result) == {"classes", "positive", "cross_validated"} and result["cross_validated"]["n"] == 24
    table = pd.read_parquet(place / "fold-all" / "predictions.parquet")
    folds = [pd.read_parquet(place / f"fold-{k}" / "predictions.parquet") for k in range(3)]
    pd.testing.assert_frame_equal(table, pd.concat([one[one["split"] == "test"] for one in folds], ignore_index=True))
    assert rule_of_run(place / "fold-all", ComparisonOptions()) == rule_of_run(place / "fold-1", ComparisonOptions())


@pytest.mark.slow
def test_epochs_are_the_median_of_those_that_the_folds_kept(configured: Configured) -> None:
    options = ("schedule=finetune", "schedule.finetune.epochs=4", "callbacks=early_stopping")
    place = study(configured, *options)
    kept = [read_json(place / f"fold-{k}" / "environment.json")[KEPT_EPOCHS] for k in range(3)]
    assert all(1 <= count <= 4 for count in kept)
    cfg = final(configured)
    assert set(cfg.callbacks) == {"average", "kept_epoch"} and cfg.callbacks.kept_epoch.monitor is None
    assert cfg.callbacks.kept_epoch.dirpath == str(place / "fold-all" / "resume")
    assert median_epochs(cfg) == sorted(kept)[1]
    train(cfg)
    assert read_json(place / "fold-all" / "environment.json")[KEPT_EPOCHS] == sorted(kept)[1]
    assert load_checkpoint(place / "fold-all" / "checkpoint.ckpt")[1].fold == "all"
    facts = read_json(place / "fold-1" / "environment.json")
    write_json(place / "fold-1" / "environment.json", {k: v for k, v in facts.items() if k != KEPT_EPOCHS})
    with pytest.raises(UserError, match="did not note the epoch"):
        median_epochs(cfg)


def test_it_asks_for_its_folds_and_for_their_recipe(configured: Configured, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rests on all folds of the model.*-m study=default"):
        final(configured)
    place = study(configured, "schedule=probe")
    with pytest.raises(UserError, match="balance: class_weights -> none"):
        final(configured, "balance=none")
    assert final(configured, "threads=2").threads == 2
    elsewhere = tmp_path / "moved"
    (tmp_path / "runs").rename(elsewhere)
    cfg = final(configured, f"runs_dir={elsewhere}")
    assert str(place.parents[1]) not in yaml.safe_dump(yaml.safe_load(str(dict(cfg.callbacks))))
    (elsewhere / "default" / MODEL / "fold-2" / "status.json").unlink()
    with pytest.raises(UserError, match=r"1 of 3 folds are not done \(fold-2\)"):
        final(configured, f"runs_dir={elsewhere}")


def test_it_is_logged_as_its_folds_were(configured: Configured, tmp_path: Path) -> None:
    study(configured, "schedule=probe", "logger=csv")
    with initialize_config_dir(config_dir(), version_base="1.3"):
        typed = ["fold=all", f"model={MODEL}", f"runs_dir={tmp_path}/runs"]
        plainly = compose("train", typed)  # as mpox.compare prints it: with the default logger, which is W&B
        assert plainly.logger._target_ == "mpox.report.wandb.make_logger"
        asked = compose("train", [*typed, "logger=tensorboard"])
    place = tmp_path / "runs" / "default" / MODEL
    cfg = recipe_of_folds(plainly, typed)
    assert cfg.logger._target_ == "lightning.pytorch.loggers.CSVLogger"
    assert cfg.logger.save_dir == str(place / "fold-all")
    assert recipe_of_folds(asked, [*typed, "logger=tensorboard"]).logger.version == "tensorboard"

    # A logger that names the fold and keeps a folder of its own, of a study that lies elsewhere by now.
    elsewhere = tmp_path / "moved"
    (tmp_path / "runs").rename(elsewhere)
    config = yaml.safe_load((elsewhere / "default" / MODEL / "fold-0" / "config.yaml").read_text())
    run_dir, local = str(place / "fold-0"), f"{tmp_path}/runs/.mlflow"
    config["logger"] = {"_target_": "mpox.report.mlflow.make_logger", "fold": 0, "run_dir": run_dir, "local": local}
    (elsewhere / "default" / MODEL / "fold-0" / "config.yaml").write_text(yaml.safe_dump(config))
    moved = configured("fold=all", f"runs_dir={elsewhere}")
    logger = recipe_of_folds(moved, ["fold=all", f"runs_dir={elsewhere}"]).logger
    assert (logger.fold, logger.local) == ("all", f"{elsewhere}/.mlflow")
    assert logger.run_dir == str(elsewhere / "default" / MODEL / "fold-all")


def test_it_goes_nowhere_with_the_figures_of_folds_trained_again(
    trained: Path, configured: Configured, tmp_path: Path
) -> None:
    """Whether a command takes a rule from the folds, or figures of them."""
    shutil.copytree(trained, tmp_path / "runs")
    typed = f"model={MODEL}"
    train(final(configured, typed, "schedule=probe"))
    place = tmp_path / "runs" / "default" / MODEL / "fold-all"
    assert RunModel(place, 0.95).rule.threshold is not None
    for fold in range(3):
        train(configured(typed, "schedule=probe", f"fold={fold}", "image_size=48", "overwrite=true"))
    refused = pytest.raises(UserError, match=r"trained again since.*image_size: 32 -> 48.*fold=all.*overwrite=true")
    with refused:
        RunModel(place, 0.95)
    with refused, initialize_config_dir(config_dir(), version_base="1.3"):
        export(compose("export", [f"run={place}", f"exports_dir={tmp_path}", "capture.photos=0"]))
    elsewhere = ["study=default", f"runs_dir={tmp_path / 'runs'}", f"models=[{MODEL}]", "duplicates=off"]
    with refused, initialize_config_dir(config_dir(), version_base="1.3"):
        evaluate(compose("evaluate", [*elsewhere, "data.root=photos"]))
    with refused:
        publish(OmegaConf.create({"run": str(place), "to": str(tmp_path / "hub"), "licence": None, "overwrite": False}))
    with pytest.raises(UserError, match=r"image_size: 32 -> 48.*overwrite=true"):
        train(final(configured, typed, "schedule=probe", "image_size=48"))
    train(final(configured, typed, "overwrite=true"))
    assert RunModel(place, 0.95).image_size == 48
