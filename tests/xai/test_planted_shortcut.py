"""The audit's own proof: a model that was given a shortcut is caught, one that was not is let pass; five seeds each.

python -m pytest -m slow tests/xai/test_planted_shortcut.py    (about 15 minutes on one core)
"""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from planted import photo_set

from mpox.config import config_dir
from mpox.explain import explain
from mpox.train import train


def audited(folder: Path, *, marked: bool, seed: int) -> dict:
    manifest = photo_set(folder / "photos", marked=marked, seed=seed)
    options = [
        *("data=manifest", f"data.manifest={manifest}", "schedule=probe", "n_folds=3", "trainer=cpu", "logger=none"),
        *(f"runs_dir={folder}/runs", "study=audit", f"seed={seed}"),
    ]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        result = train(compose("train", options))
        run = folder / "runs" / "audit" / "tf_efficientnet_lite0" / "fold-0"
        report = explain(compose("explain", ["command=audit", f"run={run}", "split=all"]))
    return {**report, "test": result["test"]}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("marked", [True, False], ids=["planted", "clean"])
def test_a_planted_shortcut_is_caught_and_its_absence_is_not(tmp_path: Path, marked: bool, seed: int) -> None:
    report = audited(tmp_path, marked=marked, seed=seed)
    levels = {test["name"]: test["level"] for test in report["tests"]}
    assert report["lesions"] == "masks"
    assert report["flagged"] is marked, levels
    if marked:
        assert levels["lesion hidden"] == "shortcut"
        assert levels["background embedding"] == "shortcut"
    else:
        assert "shortcut" not in levels.values()
