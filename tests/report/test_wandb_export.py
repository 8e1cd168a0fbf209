"""The run of an export, offline, read back with wandb's own message types."""

import json
from pathlib import Path

from wandb_records import records

from mpox.files import write_json
from mpox.report.phones import write_benchmark
from mpox.report.wandb_export import log_export
from mpox.report.wandb_mode import stable_id

TIMES = {"median_ms": 4.0, "p90_ms": 5.0, "least_ms": 3.9, "round_ms": [4.0], "against_first": {}}


def test_offline_run_holds_the_folder_and_the_figures(tmp_path: Path) -> None:
    folder = tmp_path / "exports" / "lite0"
    verification = {
        "agreement": {"value": 0.99},
        "balanced_accuracy_lost": {"value": -0.01},
        "pytorch": {"auroc": 0.9, "threshold": None},
        "exported": {"auroc": 0.91, "threshold": None},
    }
    card = {"study": "s", "model": "m", "fold": 0}
    report = {"name": "lite0", "recipe": "int8_static", "backend": "xnnpack", "card": card, "sha256": "0" * 64}
    report |= {"size_bytes": 4, "size_against_fp32": 0.25, "latency_ms": 3.0, "contents": {"delegated": 1.0}}
    write_json(folder / "export.json", report | {"verification": verification})
    (folder / "model.pte").write_bytes(b"file")
    engine = {"size_bytes": 4, "model_mb": 10.0, "load_ms": 3.0, "first_ms": 5.0, "latency": {"1": TIMES}}
    write_benchmark({"name": "lite0", "engines": {"ExecuTorch": engine}}, tmp_path / "bench")
    name = log_export(
        folder, tmp_path / "bench", project="trial", entity=None, mode="offline", place=tmp_path / "local"
    )
    assert name == stable_id("s/export/lite0")
    (run,) = tmp_path.glob("local/wandb/offline-run-*")
    found = records(run)
    started = next(record.run for record in found if record.WhichOneof("record_type") == "run")
    assert (started.run_id, started.job_type, started.run_group) == (name, "export", "s")
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
    assert (summary["agreement"], summary["exported/auroc"], summary["latency_ms"]) == (0.99, 0.91, 3.0)
    assert "exported/threshold" not in summary
    assert {"benchmark", "benchmark_figure"} <= {key.partition("/")[0] for key in history}
    assert artifacts[f"export-{stable_id('lite0')}"] == {"export.json", "model.pte", "benchmark.json"}
    assert log_export(folder, project="trial", entity=None, mode="disabled", place=tmp_path) is None
