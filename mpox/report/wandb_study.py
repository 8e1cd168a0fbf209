"""The summary run of a study on Weights & Biases: table, curves and files of a comparison; a report when online."""

import logging
from pathlib import Path
from typing import Any

import wandb

from mpox.errors import reason_of
from mpox.files import read_json, write_json
from mpox.report.figures import FIGURES
from mpox.report.formatting import metric_name, over_folds
from mpox.report.wandb_mode import resolve_mode, stable_id
from mpox.report.wandb_run import send
from mpox.runs.portable import portable
from mpox.stats.comparison import Comparison

log = logging.getLogger(__name__)
# Files of the comparison's folder that go along, where they are there.
FILES = ("index.html", "model_card.md", "comparison.json", "comparison.csv", "comparison.tex", "chosen.yaml")


def log_study(comparison: Comparison, folder: Path, *, project: str, entity: str | None, mode: str) -> str | None:
    """Send a comparison, and the files of it in `folder` (<study>/comparison), as one run; return its id.

    Job type `compare`, group the study, an id that depends on the study alone: typed again, it updates the same run.
    `mode` as for training; offline, all is written to `folder`/summary for `wandb sync`. Artefacts:
    `comparison-<study>` (the page, tables, figures, card) and `predictions-<study>` (predictions and metrics of every
    model and fold). None where disabled, and where W&B fails, which is a warning: the comparison is on disk already.
    Raises UserError for another mode.
    """
    mode = resolve_mode(mode)
    if mode == "disabled":
        return None

    def fill(run: Any) -> None:
        run.summary.update(_summary(comparison))
        run.log({"models": _models(comparison), "pairs": _pairs(comparison), **_curves(comparison), **_figures(folder)})
        run.log_artifact(_files(comparison, folder))
        run.log_artifact(_predictions(comparison, folder.parent))

    run = send(
        fill,
        what="compare",
        name="comparison",
        study=comparison.study,
        job_type="compare",
        tags=["comparison"],
        config={"metric": comparison.metric, "splits_sha256": comparison.splits_sha256, **portable(comparison.config)},
        project=project,
        entity=entity,
        mode=mode,
        place=folder / "summary",
        kept=folder,
    )
    if run is None:
        return None
    if mode == "online":
        _write_report(comparison, folder, project, run.entity)
    return str(run.id)


def _summary(comparison: Comparison) -> dict[str, Any]:
    model = comparison.focus
    figures = {f"{metric}/pooled": score.pooled for metric, score in model.scores.items()}
    figures |= {f"{metric}/mean": score.mean for metric, score in model.scores.items()}
    for one in comparison.external:
        if one.model == model.name:
            figures |= {f"external/{one.name}/{score.metric}": score.external.value for score in one.scores}
    facts = {"model": model.name, "headline": comparison.headline, "n_photos": comparison.data.n_photos}
    return facts | {key: value for key, value in figures.items() if value is not None}


def _models(comparison: Comparison) -> wandb.Table:
    metrics = list(comparison.best.scores)
    table = wandb.Table(columns=["rank", "model", "verdict", "mean ± sd", *metrics, "parameters", "macs"])
    for model in comparison.models:
        pooled = [model.scores[metric].pooled for metric in metrics]
        spread = over_folds(model.scores[comparison.metric])
        table.add_data(model.rank, model.name, model.verdict, spread, *pooled, model.costs.parameters, model.costs.macs)
    return table


def _pairs(comparison: Comparison) -> wandb.Table:
    table = wandb.Table(columns=["first", "second", "difference", "low", "high", "p_holm", "mcnemar_p_holm", "words"])
    for pair in comparison.pairs:
        apart = pair.difference
        figures = (apart.value, apart.low, apart.high, pair.p_holm, pair.mcnemar_p_holm)
        table.add_data(pair.first, pair.second, *figures, pair.words)
    return table


def _curves(comparison: Comparison) -> dict[str, Any]:
    """Return ROC curves of the classes of the model in focus, and the accuracy-referral curves of all models."""
    model = comparison.focus
    charts: dict[str, Any] = {}
    if model.curves:
        charts["roc"] = wandb.plot.line_series(
            xs=[list(curve.fpr) for curve in model.curves],
            ys=[list(curve.tpr) for curve in model.curves],
            keys=[curve.label for curve in model.curves],
            title=f"ROC of {model.name}",
            xname="1 - specificity",
        )
    charts["referral"] = wandb.plot.line_series(
        xs=[list(one.referral.referred) for one in comparison.models],
        ys=[list(one.referral.accuracy) for one in comparison.models],
        keys=[one.name for one in comparison.models],
        title="accuracy on the rest",
        xname="share referred",
    )
    return charts


def _figures(folder: Path) -> dict[str, wandb.Image]:
    paths = {name: folder / "figures" / f"{name}.png" for name in FIGURES}
    return {f"figures/{name}": wandb.Image(str(path)) for name, path in paths.items() if path.is_file()}


def _files(comparison: Comparison, folder: Path) -> wandb.Artifact:
    artifact = wandb.Artifact(f"comparison-{stable_id(comparison.study)}", type="comparison")
    for name in FILES:
        if (folder / name).is_file():
            artifact.add_file(str(folder / name), name=name)
    if (folder / "figures").is_dir():
        artifact.add_dir(str(folder / "figures"), name="figures")
    return artifact


def _predictions(comparison: Comparison, study: Path) -> wandb.Artifact:
    artifact = wandb.Artifact(f"predictions-{stable_id(comparison.study)}", type="predictions")
    for job in comparison.completeness:
        run = f"{job.model}/fold-{job.fold}"
        for name in ("predictions.parquet", "metrics.json"):
            if job.used and (study / run / name).is_file():
                artifact.add_file(str(study / run / name), name=f"{run}/{name}")
    return artifact


def build_report(comparison: Comparison, project: str, entity: str, url: str | None = None) -> Any:
    """Return the W&B report of a study, or that at `url` with its content replaced; not saved yet.

    Needs the extra `reports` (ImportError without it).
    """
    import wandb_workspaces.reports.v2 as reports

    title = f"{comparison.study}: comparison"
    report = reports.Report.from_url(url) if url else reports.Report(project=project, entity=entity, title=title)
    report.description = "Research software; not a diagnosis."
    runs = reports.Runset(entity=entity, project=project, name=comparison.study, query=comparison.study)
    metric = comparison.metric
    panel = reports.BarPlot(metrics=[f"{metric}/pooled"], title=metric_name(metric))
    report.blocks = [
        reports.MarkdownBlock(text="\n\n".join(comparison.conclusion)),
        reports.PanelGrid(runsets=[runs], panels=[panel]),
    ]
    return report


def _write_report(comparison: Comparison, folder: Path, project: str, entity: str) -> None:
    """Save the report, replacing the last one; an error of W&B is only a warning."""
    place = folder / "wandb_report.json"
    try:
        report = build_report(comparison, project, entity, read_json(place)["url"] if place.is_file() else None)
        report.save()
    except ImportError:
        log.info("W&B: pip install 'mpox[reports]' adds a report of the study")
    except Exception as error:  # the run is sent already: a report that fails must not undo the comparison
        log.warning("W&B: the report was not saved (%s); the run was", reason_of(error))
    else:
        write_json(place, {"url": report.url})
        log.info("W&B: report at %s", report.url)
