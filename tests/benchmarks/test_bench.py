"""The benchmark of whole studies: both sides run, on the same splits."""

from pathlib import Path

import pytest

from benchmarks import packing, report, study
from benchmarks.commands import generated

MODEL = "tf_efficientnet_lite0"


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
