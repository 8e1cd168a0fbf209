"""The summary run of a study, offline, read back with wandb's own message types."""

import json
from pathlib import Path

import pytest
from wandb_records import records

from mpox.report.wandb_mode import stable_id
from mpox.report.wandb_study import build_report, log_study
from mpox.stats.comparison import Comparison
from mpox.study.comparing import compare
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.results import read_study


@pytest.fixture
def comparison(trained: Path) -> Comparison:
    results = read_study(trained, "default")
    return compare(results, ComparisonOptions(resamples=100), exports=trained / "exports", cache=trained / ".cache")


def test_offline_run_holds_the_comparison(comparison: Comparison, trained: Path, tmp_path: Path) -> None:
    study = tmp_path / "default"
    study.mkdir()
    for model in ("mnasnet_100", "mobilenetv3_small_100"):
        (study / model).symlink_to(trained / "default" / model)
    folder = study / "comparison"
    folder.mkdir()
    (folder / "comparison.csv").write_text("model\n")
    name = log_study(comparison, folder, project="trial", entity=None, mode="offline")
    assert name == stable_id("default/compare")
    (run,) = folder.glob("summary/wandb/offline-run-*")
    found = records(run)
    started = next(record.run for record in found if record.WhichOneof("record_type") == "run")
    assert (started.run_id, started.job_type, started.run_group) == (name, "compare", "default")
    summary, history, artifacts = {}, set(), {}
    for record in found:
        for change in record.summary.update:
            summary[change.key or "/".join(change.nested_key)] = json.loads(change.value_json)
        history |= {item.key or "/".join(item.nested_key) for item in record.history.item}
        artifact = (
            record.artifact if record.WhichOneof("record_type") == "artifact" else record.request.log_artifact.artifact
        )
        if artifact.name:
            artifacts[artifact.name] = {entry.path for entry in artifact.manifest.contents}
    assert summary["balanced_accuracy/pooled"] == comparison.best.scores["balanced_accuracy"].pooled
    assert summary["headline"] == comparison.headline
    assert str(trained) not in str([record.run.config for record in found])
    assert {"models", "pairs"} <= {key.partition("/")[0] for key in history}
    assert artifacts.keys() >= {f"comparison-{stable_id('default')}", f"predictions-{stable_id('default')}"}
    assert "comparison.csv" in artifacts[f"comparison-{stable_id('default')}"]
    assert len(artifacts[f"predictions-{stable_id('default')}"]) == 12
    assert any(record.WhichOneof("record_type") == "exit" for record in found)
    assert log_study(comparison, folder, project="trial", entity=None, mode="offline") == name
    assert log_study(comparison, folder, project="trial", entity=None, mode="disabled") is None


def test_report_is_built(comparison: Comparison) -> None:
    pytest.importorskip("wandb_workspaces")
    report = build_report(comparison, "project", "entity")
    assert report.title == "default: comparison"
    assert comparison.headline in report.blocks[0].text
