"""The commands `faithfulness` and `audit`, and the job's own W&B table, as a user meets them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from mpox.commands.explain import explain
from mpox.files import read_json
from mpox.options import config_dir
from mpox.runs.opened import OpenedRun
from mpox.training.job import train
from mpox.xai.examination import verdicts


@pytest.mark.slow
def test_faithfulness_is_measured_written_and_reported(
    configured: Callable[..., DictConfig], trained: Path, run: OpenedRun
) -> None:
    twin = trained.parent / "fold-9"
    twin.mkdir()
    shutil.copy(trained / "checkpoint.ckpt", twin)
    try:
        options = ("faithfulness.photos=12", "faithfulness.road_photos=2", "split=all")
        result = explain(configured("command=faithfulness", *options))
    finally:
        shutil.rmtree(twin)
    report = read_json(trained / "explain" / "faithfulness-gradcam.json")
    assert report["photos"] == 12
    assert set(report["measures"]) == {"deletion", "insertion", "road", "energy_in_mask", "pointing_game", "best_iou"}
    scores = pd.read_parquet(trained / "explain" / "faithfulness-gradcam.parquet")
    assert scores["road"].notna().sum() == 2
    healthy = scores["photo_id"].str.contains("healthy")
    assert scores.loc[healthy, "energy_in_mask"].isna().all()
    for measure, found in report["measures"].items():
        assert found["map"]["value"] == pytest.approx(scores[measure].mean())
        assert found["map"]["low"] <= found["map"]["value"] <= found["map"]["high"]
        gap = found["map"]["value"] - found["random"]["value"]
        assert found["differences"]["random"]["value"] == pytest.approx(gap, abs=1e-6)
    # The other "fold" is a copy: it must agree with itself, and so show that the maps do not depend on what ran before.
    assert report["agreement"] == {
        "models": 2,
        "rank_correlation": {"value": 1.0, "low": None, "high": None, "n": report["photos"]},
    }
    assert any("too few" in line for line in result["lines"])
    text = (trained / "explain" / "faithfulness-gradcam.md").read_text()
    assert all(verdict in text for verdict in report["verdicts"])
    assert "not a diagnosis" in text


def test_verdicts_say_which_way_a_difference_goes() -> None:
    def measure(low: float, high: float) -> dict[str, object]:
        found = {"value": (low + high) / 2, "low": low, "high": high}
        return {"groups": 50, "differences": {"random": found, "edges": found, "centre": found}}

    report = {
        "measures": {"deletion": measure(-0.2, -0.1), "insertion": measure(-0.2, -0.1), "road": measure(-0.1, 0.1)},
        "randomisation": [{"rank_correlation": {"value": 0.9, "low": 0.8, "high": 0.95}}],
    }
    lines = verdicts(report)
    assert "deletion: the map beats random maps." in lines
    assert "insertion: the map is WORSE than an edge detector." in lines
    assert "road: the map is not shown to differ from always pointing at the centre." in lines
    assert "HARDLY DEPENDS" in lines[-1]


def test_a_model_that_guesses_is_not_audited(configured: Callable[..., DictConfig], trained: Path) -> None:
    """The run of this folder has learned nothing: no verdict may be drawn from what it loses."""
    report = explain(configured("command=audit", "split=val"))
    assert report["tests"] == []
    assert report["flagged"] is False
    assert "nothing to audit" in report["lines"][-1]
    assert "nothing to audit" in (trained / "explain" / "audit.md").read_text()


def test_the_jobs_wandb_run_gets_the_table(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    options = [
        *("weights=none", "model=mobilenetv3_small_100", "n_folds=3", "image_size=64", "batch_size=8", "trainer=cpu"),
        *("schedule=finetune", "schedule.finetune.epochs=1", "callbacks=gradcam", "study=hooked", "data=folder"),
        *(f"data.root={photos}", f"runs_dir={tmp_path}"),
    ]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        train(compose("train", options))
    run = tmp_path / "hooked" / "mobilenetv3_small_100" / "fold-0"
    index = pd.read_parquet(run / "explain" / "gradcam" / "index.parquet")
    (table,) = run.glob("wandb/offline-run-*/files/media/table/explain/gradcam*.table.json")
    content = json.loads(table.read_text())
    assert content["columns"][:3] == ["map", "photo_id", "split"]
    assert sorted(row[1] for row in content["data"]) == sorted(index["photo_id"])
    sheets = list(run.glob("wandb/offline-run-*/files/media/images/explain/gradcam_sheets*.png"))
    assert len(sheets) == 2
