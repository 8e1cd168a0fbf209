"""The picture of external validation: internal and external figures, with their intervals."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpox.report.formatting import in_front, metric_name, shown_metrics
from mpox.report.style import BLUE, CURVES, VERMILLION, side_by_side
from mpox.stats.comparison import Comparison, External


def external(comparison: Comparison) -> Figure | None:
    """Draw internal and external figures with their intervals, a panel a collection, for the first models."""
    if not comparison.external:
        return None
    names = [model.name for model in in_front(comparison, CURVES)]
    shown = shown_metrics(comparison)
    groups = {
        name: [one for model in names for one in comparison.external if (one.name, one.model) == (name, model)]
        for name in dict.fromkeys(one.name for one in comparison.external)
    }
    groups = {name: found for name, found in groups.items() if found}
    if not groups:
        return None
    rows = max(len(found) for found in groups.values()) * len(shown)
    figure, all_axes = side_by_side(len(groups), 1.3 + 0.24 * rows, sharey=False)
    for axes, (name, found) in zip(all_axes, groups.items(), strict=True):
        _internal_external(axes, found, shown)
        axes.set_title(f"{comparison.study}, then {name} (n = {found[0].n})")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure


def _internal_external(axes: Axes, found: Sequence[External], shown: Sequence[str]) -> None:
    ticks, labels, row = [], [], 0.0
    for one in found:
        scores = {score.metric: score for score in one.scores}
        first = True
        for metric in shown:
            if metric not in scores:
                continue
            marks = (
                ("own test folds", scores[metric].internal, BLUE, "o"),
                ("external", scores[metric].external, VERMILLION, "D"),
            )
            for offset, (label, interval, colour, marker) in zip((-0.14, 0.14), marks, strict=True):
                if interval.value is None:
                    continue
                if interval.low is not None and interval.high is not None:
                    axes.plot([interval.low, interval.high], [row + offset] * 2, color=colour, linewidth=2, alpha=0.45)
                named = label if row == 0 else None
                axes.plot(interval.value, row + offset, marker, color=colour, markersize=4.5, label=named, linestyle="")
            ticks.append(row)
            name = metric_name(metric)
            labels.append(f"{one.model}\n{name}" if first and len(found) > 1 else name)
            first, row = False, row + 1
        row += 0.6
    axes.set_yticks(ticks, labels)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
