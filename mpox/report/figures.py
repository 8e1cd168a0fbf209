"""The pictures of a comparison, drawn with matplotlib: one restrained style, safe for colour-blind readers and print.

Every function takes a `Comparison` and returns a figure, or None where the study has nothing to draw. Nothing is
computed here. Colour is never the only sign: marker, line or words repeat it.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpox.files import replacing
from mpox.report.external_figure import external
from mpox.report.flow_figure import flow
from mpox.report.formatting import in_front, metric_name
from mpox.report.style import (
    BLUE,
    CURVES,
    CYCLE,
    GREY,
    INK,
    LINES,
    ORANGE,
    PHONE_STYLE,
    SKY,
    STYLE,
    VERMILLION,
    WIDTH,
    one_axes,
    side_by_side,
    width,
)
from mpox.stats.comparison import BEST, SAME, UNTESTED, WORSE, Comparison
from mpox.stats.model_result import ReliabilityBin

# The picture that the page has as a table.
RANKING = "ranking"
VERDICTS = {BEST: (BLUE, "o"), SAME: (SKY, "o"), WORSE: (VERMILLION, "D"), UNTESTED: (GREY, "s")}


def ranking(comparison: Comparison) -> Figure:
    """Draw each model's folds, mean and pooled interval; best on top, verdict by colour and mark."""
    models = comparison.models
    figure, axes = one_axes(1.1 + 0.42 * len(models))
    seen = set()
    for row, model in enumerate(models):
        score = model.scores[comparison.metric]
        colour, marker = VERDICTS[model.verdict]
        folds = [value for value in score.folds if value is not None]
        axes.plot(folds, [row + 0.2] * len(folds), "|", color=GREY, markersize=6, markeredgewidth=1, zorder=2)
        if score.low is not None and score.high is not None:
            axes.plot([score.low, score.high], [row, row], color=colour, linewidth=3.5, alpha=0.35, zorder=2)
        value = score.mean if score.mean is not None else score.pooled
        if value is not None:
            label = model.verdict if model.verdict not in seen else None
            axes.plot(value, row, marker, color=colour, markersize=7, zorder=3, label=label, linestyle="")
        seen.add(model.verdict)
    axes.set_yticks(range(len(models)), [model.name for model in models])
    axes.set_ylim(len(models) - 0.5, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{metric_name(comparison.metric)}: mark = mean of folds, ticks = folds, bar = pooled interval")
    figure.legend(loc="outside upper left", ncols=len(seen))
    return figure


def roc_pr(comparison: Comparison) -> Figure | None:
    """Draw ROC and precision-recall of mpox against the rest for the first models."""
    if comparison.positive is None:
        return None
    models = in_front(comparison, CURVES)
    curves = [(model.name, curve) for model in models for curve in model.curves if curve.label == comparison.positive]
    return _curves(curves, f"{comparison.positive} against the rest") if curves else None


def classes(comparison: Comparison) -> Figure | None:
    """Draw ROC and precision-recall of every class against the rest for the model in focus."""
    focus = comparison.focus
    curves = [(curve.label, curve) for curve in focus.curves]
    return _curves(curves, focus.name) if len(comparison.classes) > 2 or comparison.positive is None else None


def reliability(comparison: Comparison) -> Figure:
    """Draw stated against observed for the answers of the model in focus, before and after temperature scaling."""
    calibration = comparison.focus.calibration
    panels = [
        (f"as trained\n(ECE {calibration.ece:.3f})", calibration.bins, BLUE, "stated probability of the answer"),
        (f"temperature scaled\n(ECE {calibration.ece_scaled:.3f})", calibration.bins_scaled, BLUE, "the same"),
    ]
    if calibration.bins_positive:
        label = f"probability of {comparison.positive}"
        panels.append((f"{comparison.positive},\ntemperature scaled", calibration.bins_positive, VERMILLION, label))
    figure, all_axes = side_by_side(len(panels), 3.0)
    for axes, (title, bins, colour, label) in zip(all_axes, panels, strict=True):
        _reliability(axes, bins, colour)
        axes.set_title(title)
        axes.set_xlabel("stated probability of the answer" if label == "the same" else label)
    all_axes[0].set_ylabel("share that is right")
    return figure


def confusion(comparison: Comparison) -> Figure:
    """Draw counts and row percentages of the first models: rows are true classes, columns answers."""
    models = in_front(comparison, 3)
    figure, all_axes = side_by_side(len(models), 2.5 + 0.12 * len(comparison.classes))
    for axes, model in zip(all_axes, models, strict=True):
        _matrix(axes, model.confusion, comparison.classes, model.name)
    return figure


def decision(comparison: Comparison) -> Figure | None:
    """Draw net benefit of the model in focus, and of the first-ranked, against referring everyone and no one."""
    curve = comparison.focus.decision_curve
    if curve is None:
        return None
    figure, axes = one_axes(3.0)
    axes.plot(curve.thresholds, curve.model, color=BLUE, label=comparison.focus.name)
    if comparison.best.decision_curve and comparison.best.name != comparison.focus.name:
        other = comparison.best.decision_curve
        label = f"{comparison.best.name} (first-ranked)"
        axes.plot(other.thresholds, other.model, color=SKY, linestyle="-.", linewidth=1.2, label=label)
    axes.plot(curve.thresholds, curve.refer_all, color=ORANGE, linestyle="--", label="refer everyone")
    axes.axhline(0, color=INK, linewidth=1, linestyle=":", label="refer no one")
    top = max(max(curve.model), curve.prevalence)
    axes.set_ylim(-0.15 * top, 1.1 * top)
    axes.set_xlim(0, max(curve.thresholds))
    axes.set_xlabel(f"threshold probability of {comparison.positive} at which one would refer")
    axes.set_ylabel("net benefit a photo")
    _legend_above(figure)
    return figure


def referral(comparison: Comparison) -> Figure:
    """Draw accuracy on the photos still answered as the least confident ones go to a clinician."""
    figure, axes = one_axes(3.0)
    models, focus = in_front(comparison, CURVES), comparison.focus
    for k, model in enumerate(models):
        curve = model.referral
        axes.plot(curve.referred, _gaps(curve.accuracy), color=CYCLE[k], linestyle=LINES[k], label=model.name)
    sensitivity = focus.referral.sensitivity
    if any(value is not None for value in sensitivity):
        label = f"{focus.name}: sensitivity for {comparison.positive}"
        axes.plot(focus.referral.referred, _gaps(sensitivity), color=INK, linewidth=1, label=label)
    axes.set_xlim(0, max(focus.referral.referred))
    low = min((v for m in models for v in m.referral.accuracy if v is not None), default=0.0)
    drawn = [value for value in sensitivity if value is not None]
    axes.set_ylim(max(0.0, min([low, *drawn]) - 0.03), 1.005)
    _percent(axes, x=True)
    axes.set_xlabel("share of photos referred to a clinician, least confident first")
    axes.set_ylabel("accuracy on the rest")
    _legend_above(figure)
    return figure


def datasets(comparison: Comparison) -> Figure | None:
    """Draw mean ranks over data sets with Nemenyi's critical difference (Demšar 2006; scikit-posthocs draws it)."""
    ranks = comparison.datasets
    if ranks is None:
        return None
    import scikit_posthocs  # half a second, for a figure that few studies have

    figure, axes = one_axes(1.2 + 0.16 * len(ranks.mean_ranks))
    p_values = pd.DataFrame(ranks.pairs)
    scikit_posthocs.critical_difference_diagram(
        ranks.mean_ranks, p_values, cd=ranks.critical_difference, alpha=1 - comparison.confidence, ax=axes
    )
    return figure


FIGURES: dict[str, Callable[[Comparison], Figure | None]] = {
    RANKING: ranking,
    "roc_pr": roc_pr,
    "classes": classes,
    "reliability": reliability,
    "confusion": confusion,
    "decision": decision,
    "referral": referral,
    "flow": flow,
    "datasets": datasets,
    "external": external,
}


def write_figures(comparison: Comparison, folder: Path) -> dict[str, Path]:
    """Draw every figure the study has into `folder` as SVG and PNG (200 dpi); return the SVGs by name, in order."""
    written = {}
    with mpl.rc_context(STYLE):
        for name, draw in FIGURES.items():
            figure = draw(comparison)
            if figure is None:
                continue
            _lay_out(figure)
            for suffix in ("svg", "png"):
                with replacing(folder / f"{name}.{suffix}") as temporary:
                    metadata = {"Date": None} if suffix == "svg" else {}
                    figure.savefig(temporary, format=suffix, metadata=metadata)
            written[name] = folder / f"{name}.svg"
    return written


def phone_figures(comparison: Comparison) -> dict[str, bytes]:
    """Return the SVG of every figure but the ranking, drawn for the width of a phone, by name."""
    drawn = {}
    with mpl.rc_context(PHONE_STYLE):
        for name, draw in FIGURES.items():
            if name == RANKING or (figure := draw(comparison)) is None:
                continue
            for axes in figure.axes:
                axes.xaxis.label.set_wrap(True)
            _lay_out(figure)
            file = io.BytesIO()
            figure.savefig(file, format="svg", metadata={"Date": None})
            drawn[name] = file.getvalue()
    return drawn


def _lay_out(figure: Figure) -> None:
    """Place a figure's parts once and keep them so: savefig would draw it whole before each file to do it."""
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
    figure.set_layout_engine(None)


def _curves(curves: Sequence[tuple[str, Any]], title: str) -> Figure:
    figure, (roc, precision) = side_by_side(2, 3.4, sharey=False)
    for k, (name, curve) in enumerate(curves):
        style: dict[str, Any] = {"color": CYCLE[k % len(CYCLE)], "linestyle": LINES[k % len(LINES)]}
        roc.plot(curve.fpr, curve.tpr, label=f"{name} ({curve.auroc:.3f})", **style)
        label = f"{name} ({curve.average_precision:.3f})"
        precision.plot(curve.recall, curve.precision, label=label, **style)
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    chance = {curve.prevalence for _, curve in curves}
    if len(chance) == 1:  # each class has its own, and four lines would be clutter
        precision.axhline(chance.pop(), color=GREY, linewidth=1, linestyle=":")
    roc.set(title=f"ROC: {title}", xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01))
    precision.set(title="precision and recall", xlabel="recall (sensitivity)", ylabel="precision (PPV)")
    precision.set(xlim=(0, 1), ylim=(0, 1.01))
    roc.legend(loc="lower right", title="area under the curve", alignment="left")
    precision.legend(loc="lower left", title="average precision", alignment="left")
    return figure


def _reliability(axes: Axes, bins: Sequence[ReliabilityBin], colour: str) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    for one in bins:
        observed = one.observed
        if observed.value is None:
            continue
        if observed.low is not None and observed.high is not None:
            axes.plot([one.stated] * 2, [observed.low, observed.high], color=colour, linewidth=1, alpha=0.6)
        axes.plot(one.stated, observed.value, "o", color=colour, markersize=4.5)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")


def _matrix(axes: Axes, counts: Sequence[Sequence[int]], names: Sequence[str], title: str) -> None:
    matrix = np.asarray(counts, float)
    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15, aspect="equal")
    size = 8 if len(names) < 5 else 6.5
    for i in range(len(names)):
        for j in range(len(names)):
            text = f"{counts[i][j]}\n{shares[i, j]:.0%}" if totals[i] else "-"
            colour = "white" if shares[i, j] > 0.6 else INK
            axes.text(j, i, text, ha="center", va="center", fontsize=size, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(title=title, xlabel="answer", ylabel="truth" if axes.get_subplotspec().colspan.start == 0 else "")  # type: ignore[union-attr]
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _legend_above(figure: Figure) -> None:
    figure.legend(loc="outside upper left", ncols=3 if width() == WIDTH else 1)


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]


def _percent(axes: Axes, *, x: bool = False) -> None:
    axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0))
    if x:
        axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0))
