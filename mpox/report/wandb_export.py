"""An export on Weights & Biases: one run with its figures, and the whole folder as an artifact."""

from pathlib import Path
from typing import Any

import wandb

from mpox.files import read_json, read_record
from mpox.report.wandb_mode import resolve_mode, stable_id
from mpox.report.wandb_run import send


def log_export(
    folder: Path, benchmark: Path | None = None, *, project: str, entity: str | None, mode: str, place: Path
) -> str | None:
    """Send the export in `folder`, and what `mpox.report.phones.write_benchmark` wrote into `benchmark`; return its id.

    Job type `export`, group the study, an id of study and name: typed again, it updates the same run. Local files of
    W&B go into `place`. Artifact `export-<name>`: the folder as it is. None where disabled, and where W&B fails, which
    is a warning: the export is on disk already. Raises UserError for another mode.
    """
    mode = resolve_mode(mode)
    if mode == "disabled":
        return None
    report = read_record(folder / "export.json")
    study, name = report["card"]["study"], report["name"]

    def fill(run: Any) -> None:
        run.summary.update(_summary(report))
        artifact = wandb.Artifact(f"export-{stable_id(name)}", type="model", metadata={"sha256": report["sha256"]})
        artifact.add_dir(str(folder))
        if benchmark is not None:
            artifact.add_file(str(benchmark / "benchmark.json"), name="benchmark.json")
            run.log(_benchmark(benchmark))
        run.log_artifact(artifact)

    sent = send(
        fill,
        what=f"export/{name}",
        name=f"export {name}",
        study=study,
        job_type="export",
        tags=["export", report["recipe"]],
        config={"recipe": report["recipe"], "backend": report["backend"], "card": report["card"]},
        project=project,
        entity=entity,
        mode=mode,
        place=place,
        kept=folder,
    )
    return None if sent is None else str(sent.id)


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    figures = {name: report.get(name) for name in ("size_bytes", "size_against_fp32", "latency_ms")}
    figures["delegated"] = report["contents"]["delegated"]
    if (found := report["verification"]) is not None:
        figures |= {
            "agreement": found["agreement"]["value"],
            "balanced_accuracy_lost": (found["balanced_accuracy_lost"] or {}).get("value"),
        }
        figures |= {f"{side}/{name}": value for side in ("pytorch", "exported") for name, value in found[side].items()}
    return {name: value for name, value in figures.items() if value is not None}


def _benchmark(folder: Path) -> dict[str, Any]:
    """The table of engines, and the picture where there is one."""
    result = read_json(folder / "benchmark.json")
    charts: dict[str, Any] = {}
    if "engines" in result:
        table = wandb.Table(columns=["engine", "threads", "size_bytes", "model_mb", "load_ms", "median_ms", "p90_ms"])
        for name, engine in result["engines"].items():
            for threads, times in engine["latency"].items():
                costs = (engine["size_bytes"], engine["model_mb"], engine["load_ms"])
                table.add_data(name, int(threads), *costs, times["median_ms"], times["p90_ms"])
        charts["benchmark"] = table
    if (folder / "benchmark.png").is_file():
        charts["benchmark_figure"] = wandb.Image(str(folder / "benchmark.png"))
    return charts
