"""The audit on known cases: photos with a planted shortcut are flagged, photos without one are not.

MPOX_SEEDS=5 python -m pytest -m slow tests/xai/test_planted_shortcut.py    (ImageNet weights; three seeds by default)
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir

from benchmarks.audit_calibration import audited, verdict, without_masks
from benchmarks.planted import photo_set, sticker
from mpox.commands.explain import explain
from mpox.files import read_json
from mpox.model.checkpoint import load_checkpoint, save_checkpoint
from mpox.options import config_dir
from mpox.xai.regions import corner_squares
from mpox.xai.verdicts import Judge, Sample


def of_set(folder: Path, *options: str, marked: bool, seed: int, **photos: Any) -> dict[str, Any]:
    """Train a probe on photos with stickers, or without, and audit it: the report, which is also what is written."""
    manifest = photo_set(folder / "photos", plant=sticker if marked else None, seed=seed, **photos)
    report = audited(folder, manifest, seed, *options)
    assert read_json(report["run"] / "explain" / "audit.json")["tests"] == report["tests"]
    assert report["verdict"] in (report["run"] / "explain" / "audit.md").read_text()
    return report


@pytest.mark.parametrize("marked", [True, False], ids=["planted", "clean"])
def test_in_small(tmp_path: Path, marked: bool) -> None:
    """Features of a random network separate stickers, and hardly lesions."""
    options = ("weights=none", "model=mobilenetv3_small_100", "image_size=96")
    report = of_set(tmp_path, *options, marked=marked, seed=0, subjects=8, photos=2, size=96)
    assert report["lesions"] == "masks"
    assert report["flagged"] is marked, report
    if marked:
        levels = {test["name"]: test["level"] for test in report["tests"]}
        assert levels["colours outside the lesion"] == "shortcut"
        assert "Do not trust this model" in report["verdict"]


@pytest.mark.slow
def test_of_a_network_of_every_photo_each_report_says_that_none_is_held_out(tmp_path: Path) -> None:
    """Nor are classifiers of the photos judged by those that they were fitted on."""
    options = ("weights=none", "model=mobilenetv3_small_100", "image_size=96")
    fold = of_set(tmp_path, *options, marked=True, seed=0, subjects=8, photos=2, size=96)["run"]
    final = fold.with_name("fold-all")
    final.mkdir()
    config = yaml.safe_load((fold / "config.yaml").read_text())
    (final / "config.yaml").write_text(yaml.safe_dump({**config, "fold": "all"}))
    network, card = load_checkpoint(fold / "checkpoint.ckpt")
    save_checkpoint(final / "checkpoint.ckpt", network, dataclasses.replace(card, fold="all"))
    caution = "Every photo trained this network: none is held out."
    typed = ["batch_size=32", "audit.photos=32", "faithfulness.photos=4", "faithfulness.road_photos=1", "wandb=false"]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        found = {
            command: explain(compose("explain", [f"run={final}", f"command={command}", *typed]))
            for command in ("audit", "faithfulness", "maps", "review")
        }
    assert all(any(caution in line for line in report["lines"]) for report in found.values())
    names = {test["name"] for test in found["audit"]["tests"]}
    assert "lesion hidden" in names and names.isdisjoint({"colours outside the lesion", "background embedding"})
    assert found["faithfulness"]["agreement"]["models"] == 2
    for report in ("audit.md", "audit.json", "faithfulness-gradcam.md", "faithfulness-gradcam.json",
                   "gradcam/about.json", "review-page.json"):  # fmt: skip
        assert caution in (final / "explain" / report).read_text(), report
        if (fold / "explain" / report).exists():
            assert caution not in (fold / "explain" / report).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("MPOX_SEEDS", "3"))))
@pytest.mark.parametrize("marked", [True, False], ids=["planted", "clean"])
def test_a_planted_shortcut_is_caught_and_its_absence_is_not(tmp_path: Path, marked: bool, seed: int) -> None:
    report = of_set(tmp_path, marked=marked, seed=seed)
    levels = {test["name"]: test["level"] for test in report["tests"]}
    assert report["flagged"] is marked, levels
    if marked:
        assert levels["colours outside the lesion"] == "shortcut"
        assert levels["background embedding"] != "clear"
        assert levels["lesion hidden"] != "clear"
    else:
        assert "shortcut" not in levels.values()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sticker", "clean"])
def test_without_masks_only_a_planted_shortcut_is_found(kind: str) -> None:
    """The network's own answers accuse; colours and corners of photos hint at most, and say what would decide."""
    report = without_masks(kind, seed=0, size=96)
    levels = {test["name"]: test["level"] for test in report["tests"]}
    assert levels["colours of the whole photo"] == ("hint" if kind == "sticker" else "clear")
    assert levels["background embedding"] in ("hint", "clear")
    assert report["flagged"] is (kind == "sticker"), report
    if kind == "clean":
        assert verdict(report) == "clear"
    else:
        assert levels["another photo's corners"] == "shortcut"
        (words,) = (test["verdict"] for test in report["tests"] if test["name"] == "colours of the whole photo")
        assert "photos from another source, would decide" in words


@pytest.mark.parametrize(
    ("follows", "stays", "level"), [(0.8, 0.1, "shortcut"), (0.45, 0.55, "hint"), (0.1, 0.9, "clear")]
)
def test_answers_that_follow_the_corners_accuse(follows: float, stays: float, level: str) -> None:
    groups = np.arange(200)
    answers = groups % 4
    judge = Judge(Sample(groups, answers, groups, np.zeros((200, 8, 8), bool)), answers)
    spread = np.random.default_rng(0).normal(0, 0.05, 200)
    report = judge.of_swap("corners", follows + spread, stays - spread, corner_squares(8))
    assert report["level"] == level
    assert report["follows"]["low"] < report["follows"]["value"] < report["follows"]["high"]


def test_a_model_that_answers_all_swapped_photos_alike_follows_nothing() -> None:
    """Most photos are answered `a`; all mixed ones are answered `b`: with their own answers counted alike, a tie."""
    answers = np.array([0] * 180 + [1] * 20)
    groups = np.arange(200)
    judge = Judge(Sample(groups, answers, groups, np.zeros((200, 8, 8), bool)), answers)
    mixed = np.ones(200, int)
    report = judge.of_swap("corners", (mixed == 1 - answers) * 1.0, (mixed == answers) * 1.0, corner_squares(8))
    assert report["level"] == "clear"
