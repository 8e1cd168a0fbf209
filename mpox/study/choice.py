"""Choosing a model by a stated rule, and the fold whose network is taken."""

import dataclasses
from pathlib import Path

import numpy as np
import yaml

from mpox.errors import UserError
from mpox.files import replacing
from mpox.stats.comparison import BEST, SAME, Choice, Comparison
from mpox.stats.metrics import METRICS, weighted_metrics
from mpox.stats.model_result import ModelResult
from mpox.study.results import StudyResults
from mpox.study.sentences import worded

BYTES_PER_PARAMETER = 4
FOLD_RULE = (
    "the fold whose network has the highest {metric} on its validation photos (ties: the lower NLL there, then the "
    "lower number); its test photos are not looked at"
)


def choose(
    comparison: Comparison, results: StudyResults, *, max_size_mb: float | None, max_latency_ms: float | None
) -> Comparison:
    """Return the comparison with its `choice` made: the smallest model not distinguishable from the best.

    Smallest is fewest parameters. A size budget is held against the exported file, else against 4 bytes a parameter, a
    latency budget against what the export measured. Raises UserError where no model is left, or no export has a latency
    for a budget to be held against.
    """
    candidates = [model for model in comparison.models if model.verdict in (BEST, SAME)]
    if max_latency_ms is not None and not any(model.costs.export_latency_ms for model in candidates):
        raise UserError(
            f"max_latency_ms={max_latency_ms} cannot be held against anything: no model of {comparison.study} has an "
            "export with a latency; export them first (python -m mpox.export), or leave the budget out"
        )
    fitting = [model for model in candidates if _fits(model, max_size_mb, max_latency_ms)]
    if not fitting:
        tried = ", ".join(f"{model.name} {size_mb(model):.1f} MB" for model in candidates)
        raise UserError(
            f"no model that is not distinguishable from the best is within max_size_mb={max_size_mb} and "
            f"max_latency_ms={max_latency_ms} ({tried}): raise the budget, or compare smaller models too"
        )
    chosen = min(fitting, key=lambda model: (model.costs.parameters or 0, model.rank))
    fold = _fold(chosen, results, comparison.metric)
    budget = [f"{name} {limit:g}" for name, limit in (("MB", max_size_mb), ("ms", max_latency_ms)) if limit is not None]
    metric = METRICS[comparison.metric].title
    n = len(candidates)
    choice = Choice(
        model=chosen.name,
        fold=fold,
        rule=f"the model with the fewest parameters of those not distinguishable from the best on {metric}"
        + (f", within {' and '.join(budget)}" if budget else ""),
        why=f"{n} of {len(comparison.models)} models qualify{f', {len(fitting)} within the budget' if budget else ''}; "
        f"{chosen.name} has {(chosen.costs.parameters or 0) / 1e6:.2f} million parameters. {chosen.words}",
        fold_rule=FOLD_RULE.format(metric=metric),
        command="python -m mpox.export chosen=chosen.yaml",
    )
    return worded(dataclasses.replace(comparison, choice=choice))


def write_choice(comparison: Comparison, path: Path) -> None:
    """Write the choice as YAML: what, by which rule, and the splits it stands on."""
    assert comparison.choice is not None
    content = {
        "study": comparison.study,
        **dataclasses.asdict(comparison.choice),
        "splits_sha256": comparison.splits_sha256,
        "chosen_at": comparison.created,
    }
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")


def size_mb(model: ModelResult) -> float:
    """Return the exported file's size in MB where there is one, else 4 bytes a parameter."""
    if model.costs.export_size_mb is not None:
        return model.costs.export_size_mb
    return BYTES_PER_PARAMETER * (model.costs.parameters or 0) / 1e6


def _fits(model: ModelResult, max_size_mb: float | None, max_latency_ms: float | None) -> bool:
    latency = model.costs.export_latency_ms
    small = max_size_mb is None or size_mb(model) <= max_size_mb
    return small and (max_latency_ms is None or (latency is not None and latency <= max_latency_ms))


def _fold(model: ModelResult, results: StudyResults, metric: str) -> int:
    runs = next(runs for runs in results.models if runs.name == model.name)

    def order(k: int) -> tuple[float, float, int]:
        logits, targets = runs.val[k]
        figures = weighted_metrics(logits, targets, np.ones((1, len(targets)), "float32"), results.positive)
        return -float(np.nan_to_num(figures[metric][0], nan=-1.0)), float(figures["nll"][0]), k

    return results.folds[min(range(len(results.folds)), key=order)]
