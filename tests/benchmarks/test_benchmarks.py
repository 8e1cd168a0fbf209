"""Sizes reach the measures they are for; of whole studies both sides run, on the same splits."""

import inspect
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from benchmarks import packing, report, study
from benchmarks.__main__ import ON_PHOTOS, ON_THEIR_OWN, measure
from benchmarks.commands import generated
from mpox.errors import UserError

CONF = Path(inspect.getfile(measure)).parent / "conf"
MODEL = "tf_efficientnet_lite0"


@pytest.mark.parametrize("config", ["benchmarks", "full"])
def test_every_part_of_a_configuration_is_what_its_measure_takes(config: str, tmp_path: Path) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(config, [f"output={tmp_path}"])
        unknown = compose(config, ["parts=[stages,sleep]", f"output={tmp_path}"])
    assert set(cfg.parts) <= {*ON_PHOTOS, *ON_THEIR_OWN}
    for name, part in ON_PHOTOS.items():
        inspect.signature(part).bind(tmp_path, None, **cfg[name])
    for name, part in ON_THEIR_OWN.items():
        inspect.signature(part).bind(tmp_path, **cfg[name])
    with pytest.raises(UserError, match="parts=sleep is unknown: choose from training"):
        measure(unknown)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_study_is_held_against_the_plain_baseline(tmp_path: Path) -> None:
    photos = generated(tmp_path, 5, 2, 64)
    options = ["data_guard.search=none", "logger=none", "schedule.finetune.epochs=1"]
    found = study.measure(tmp_path, photos, [MODEL], 2, "probe_then_finetune", [(MODEL, 0)], 1, options)
    assert found["baseline_scaled"]  # one job of two was run
    job = found["baseline_jobs"][0]
    assert found["baseline_seconds"] == pytest.approx(2 * job["wall"], abs=0.2)
    assert found["speedup"] == pytest.approx(found["baseline_seconds"] / found["seconds"], rel=0.02)
    scores = found["scores"][MODEL]
    assert scores["photos"] == 4 and 0 <= scores["baseline"] <= 1 and scores["low"] <= scores["mpox"] <= scores["high"]


@pytest.mark.slow
def test_jobs_at_once_change_no_answer(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    photos = generated(tmp_path, 5, 2, 64)
    options = ["weights=none", "image_size=32", "schedule=finetune", "schedule.finetune.epochs=1", "logger=none"]
    found = packing.measure(tmp_path, photos, [1, 2], ["mobilenetv3_small_100"], 2, options)
    assert found["jobs"] == 2
    assert list(found["at_once"]) == ["1", "2"]
    for one in found["at_once"].values():
        assert one["same_answers"] and one["largest_difference"] == 0
        assert one["seconds"] > 0 and 0 < one["busy"] <= 1
    for what, measured, _ in report.rows({"packed": found}):
        assert "at once" in what and "busy, same answers" in measured
    report.draw({"packed": found}, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").stat().st_size > 0
