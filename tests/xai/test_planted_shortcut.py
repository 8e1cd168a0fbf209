"""The audit on known cases: photos with a planted shortcut are flagged, photos without one are not.

MPOX_SEEDS=5 python -m pytest -m slow tests/xai/test_planted_shortcut.py    (ImageNet weights; three seeds by default)
"""

import os
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from planted import photo_set

from mpox.commands.explain import explain
from mpox.files import read_json
from mpox.options import config_dir
from mpox.training.job import train


def audited(folder: Path, *options: str, marked: bool, seed: int, **photos: int) -> dict[str, Any]:
    """Train a probe on the photos and audit it: the report, with the test fold's figures."""
    manifest = photo_set(folder / "photos", marked=marked, seed=seed, **photos)
    common = [
        "data_guard.search=none",  # stickers on plain skin make copies of photos that show different people
        *("data=manifest", f"data.manifest={manifest}", "schedule=probe", "n_folds=3", "trainer=cpu", "logger=none"),
        *(f"runs_dir={folder}/runs", "study=audit", f"seed={seed}", *options),
    ]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("train", common)
        result = train(cfg)
        run = folder / "runs" / "audit" / cfg.model.name / "fold-0"
        report = explain(compose("explain", ["command=audit", f"run={run}", "split=all"]))
    assert read_json(run / "explain" / "audit.json")["tests"] == report["tests"]
    assert report["verdict"] in (run / "explain" / "audit.md").read_text()
    return {**report, "test": result["test"]}


@pytest.mark.parametrize("marked", [True, False], ids=["planted", "clean"])
def test_in_small(tmp_path: Path, marked: bool) -> None:
    """Features of a random network separate stickers, and hardly lesions."""
    options = ("weights=none", "model=mobilenetv3_small_100", "image_size=96")
    report = audited(tmp_path, *options, marked=marked, seed=0, subjects=8, photos=2, size=96)
    assert report["lesions"] == "masks"
    assert report["flagged"] is marked, report
    if marked:
        levels = {test["name"]: test["level"] for test in report["tests"]}
        assert levels["colours outside the lesion"] == "shortcut"
        assert "Do not trust this model" in report["verdict"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("MPOX_SEEDS", "3"))))
@pytest.mark.parametrize("marked", [True, False], ids=["planted", "clean"])
def test_a_planted_shortcut_is_caught_and_its_absence_is_not(tmp_path: Path, marked: bool, seed: int) -> None:
    report = audited(tmp_path, marked=marked, seed=seed)
    levels = {test["name"]: test["level"] for test in report["tests"]}
    assert report["flagged"] is marked, levels
    if marked:
        assert levels["colours outside the lesion"] == "shortcut"
        assert levels["background embedding"] != "clear"
        assert levels["lesion hidden"] != "clear"
    else:
        assert "shortcut" not in levels.values()
