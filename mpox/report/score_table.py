"""The table of models: for the terminal, for a spreadsheet (CSV) and for a paper (LaTeX, booktabs)."""

from pathlib import Path

import pandas as pd
from rich import box
from rich.table import Table

from mpox.console import shown
from mpox.files import replacing
from mpox.stats.comparison import WORSE, Comparison, JobState
from mpox.stats.metrics import METRICS, key_metrics
from mpox.stats.model_result import Score

LATEX = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"})


def score_frame(comparison: Comparison) -> pd.DataFrame:
    """Return one row a model in rank order: verdict, each metric's mean, sd, pooled, low and high, and the costs."""
    rows = []
    for model in comparison.models:
        row: dict[str, object] = {"model": model.name, "rank": model.rank, "versus_best": model.verdict}
        for metric, score in model.scores.items():
            row |= {f"{metric}_{part}": getattr(score, part) for part in ("mean", "sd", "pooled", "low", "high")}
        costs = model.costs
        row |= {"parameters": costs.parameters, "macs": costs.macs, "image_size": costs.image_size}
        row |= {"train_seconds": costs.train_seconds, "export_size_mb": costs.export_size_mb}
        row |= {"export_latency_ms": costs.export_latency_ms, "export_instructions": costs.export_instructions}
        rows.append(row | {"export_instruction_ratio": costs.export_instruction_ratio})
    return pd.DataFrame(rows)


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write `score_frame` as CSV, six decimals."""
    with replacing(path) as temporary:
        score_frame(comparison).to_csv(temporary, index=False, float_format="%.6g")


def write_latex(comparison: Comparison, path: Path) -> None:
    """Write the narrow table, with accuracy, for a document that uses the package booktabs."""
    metrics = list(dict.fromkeys([comparison.metric, "accuracy", *_columns(comparison)]))
    heads = ["Model", *(_title(metric) for metric in metrics), "Parameters (M)", "Against the best"]
    lines = [
        "% Needs \\usepackage{booktabs}. Mean $\\pm$ sd over folds; brackets: interval of the pooled figure.",
        rf"\begin{{tabular}}{{l{'r' * (len(heads) - 2)}l}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for model in comparison.models:
        cells = [_latex_cell(model.scores[metric]) for metric in metrics]
        size = "--" if model.costs.parameters is None else f"{model.costs.parameters / 1e6:.1f}"
        lines.append(" & ".join([model.name.translate(LATEX), *cells, size, model.verdict.translate(LATEX)]) + r" \\")
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n", encoding="utf-8")


def score_view(comparison: Comparison) -> Table:
    """Return a table that fits 80 columns: mean, sd over folds and pooled interval one below the other."""
    metrics = _columns(comparison)
    folds = f"{len(comparison.folds)} of {comparison.n_folds} folds"
    view = Table(
        title=f"{shown(comparison.study)}: {comparison.data.n_photos} photos, {folds}",
        caption="mean, sd over folds, interval of the pooled figure; research use only, not a diagnosis",
        box=box.SIMPLE,
        pad_edge=False,
    )
    view.add_column("model", overflow="fold", width=22)
    for metric in metrics:
        view.add_column(METRICS[metric].title, justify="right")
    for model in comparison.models:
        style = "dim" if model.verdict == WORSE else None
        name = f"{shown(model.name)}\n[italic]{model.verdict}[/]"
        view.add_row(name, *(_cell(model.scores[metric]) for metric in metrics), style=style)
    return view


def completeness_view(jobs: tuple[JobState, ...]) -> Table:
    """Return which folds each model has, for the terminal."""
    view = Table(title="runs", caption="only folds that every model has are compared")
    folds = sorted({job.fold for job in jobs})
    view.add_column("model", overflow="fold")
    for fold in folds:
        view.add_column(str(fold))
    for model in dict.fromkeys(job.model for job in jobs):
        by_fold = {job.fold: job for job in jobs if job.model == model}
        view.add_row(shown(model), *(_mark(by_fold.get(fold)) for fold in folds))
    return view


def _mark(job: JobState | None) -> str:
    if job is None:
        return ""
    return "[green]✓[/]" if job.used else "[dim]✓[/]" if job.state == "done" else f"[red]{job.state}[/]"


def _columns(comparison: Comparison) -> list[str]:
    known = comparison.models[0].scores
    return [name for name in key_metrics(comparison.metric) if name in known]


def _title(metric: str) -> str:
    title = METRICS[metric].title
    return title[0].upper() + title[1:]


def _cell(score: Score) -> str:
    if score.mean is None:
        return "-"
    spread = "" if score.sd is None else f"± {score.sd:.3f}"
    bounds = "" if score.low is None or score.high is None else f"{score.low:.3f}-{score.high:.3f}"
    return f"{score.mean:.3f}\n{spread}\n{bounds}"


def _latex_cell(score: Score) -> str:
    if score.mean is None:
        return "--"
    spread = "" if score.sd is None else rf" $\pm$ {score.sd:.3f}"
    bounds = "" if score.low is None or score.high is None else f" [{score.low:.3f}, {score.high:.3f}]"
    return f"{score.mean:.3f}{spread}{bounds}"
