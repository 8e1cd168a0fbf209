"""The flow of photos as a picture: how many there were, how many were left out and why, how many were scored."""

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mpox.report.formatting import reason
from mpox.report.style import BLUE, GREY, WIDTH, width
from mpox.stats.comparison import Comparison, External


def flow(comparison: Comparison) -> Figure:
    """Draw how many photos went where, in boxes: from the manifest to the folds, and each external collection."""
    data = comparison.data
    wide, beside = (40, 32) if width() == WIDTH else (30, 16)
    reasons = [f"{count} {why}" for why, count in data.left_out.items()]
    scored = [f"{count} {label}" for label, count in data.per_class.items()]
    groups = f"{data.n_groups} groups" + (f", {data.n_subjects} subjects" if data.n_subjects else "")
    missing = data.n_manifest - data.n_left_out - data.n_photos
    folds = [f"{len(comparison.folds)} of {comparison.n_folds} folds, each photo tested once"]
    folds.append(f"a network trains on {data.train_size:.0f} photos")
    steps = [
        [f"{data.n_manifest} photos in the manifest", *_wrapped([f"from {', '.join(data.per_source)}"], wide)],
        [f"{data.n_photos} photos scored", groups, *_wrapped(scored, wide)],
        [line for text in folds for line in textwrap.wrap(text, wide)],
    ]
    out = [[f"{data.n_left_out} left out", *_wrapped(reasons, beside)]] if data.n_left_out else []
    if missing > 0:
        out.append([f"{missing} in folds not compared"])
    columns: list[tuple[str, list[list[str]], list[list[str]]]] = [("development", steps, out or [["0 left out"]])]
    for external in _first_of_each(comparison.external):
        left = [f"{count} {reason(name)}" for name, count in external.left_out.items()]
        total = sum(external.left_out.values())
        counts = [sum(row) for row in external.confusion]
        per_class = [f"{count} {label}" for label, count in zip(external.classes, counts, strict=True)]
        boxes = [[f"{external.n + total} photos"], [f"{external.n} photos scored", *_wrapped(per_class, wide)]]
        columns.append((f"external: {external.name}", boxes, [[f"{total} left out", *_wrapped(left, beside)]]))
    return _flow(columns)


def _flow(columns: Sequence[tuple[str, list[list[str]], list[list[str]]]]) -> Figure:
    """Boxes down a column, what was left out to their right; sizes in inches."""
    line, pad, gap, across = 0.155, 0.12, 0.32, width()
    wide, aside = (2.9, 2.1) if across == WIDTH else (2.1, 1.2)
    start_aside = wide + (0.4 if across == WIDTH else 0.25)
    heights = [sum(line * len(box) + 2 * pad + gap for box in boxes) for _, boxes, _ in columns]
    height = 0.35 + sum(heights) + 0.25 * (len(columns) - 1)
    figure = Figure(figsize=(across, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, across), ylim=(height, 0))
    axes.axis("off")
    top = 0.1
    for (title, boxes, out), tall in zip(columns, heights, strict=True):
        axes.text(0.1, top + 0.12, title, fontweight="bold", fontsize=9.5, va="center")
        y = top + 0.3
        for k, box in enumerate(boxes):
            tall_box = line * len(box) + 2 * pad
            _box(axes, 0.1, y, wide, tall_box, box, "#eef4f9", BLUE)
            if k + 1 < len(boxes):
                _arrow(axes, (0.1 + wide / 2, y + tall_box), (0.1 + wide / 2, y + tall_box + gap))
            if k == 0:
                lines = [text for one in out for text in one]
                tall_out = line * len(lines) + 2 * pad
                middle = y + tall_box + gap / 2
                start = max(y, middle - tall_out / 2)
                axes.plot([0.1 + wide / 2, start_aside], [middle, middle], color=GREY, linewidth=1)
                _box(axes, start_aside, start, aside, tall_out, lines, "#f6f6f6", GREY)
            y += tall_box + gap
        top += tall + 0.25
    return figure


def _box(axes: Axes, x: float, y: float, w: float, h: float, lines: Sequence[str], face: str, edge: str) -> None:
    axes.add_patch(mpl.patches.Rectangle((x, y), w, h, facecolor=face, edgecolor=edge, linewidth=0.9))
    for k, text in enumerate(lines):
        weight = "bold" if k == 0 else "normal"
        axes.text(x + 0.1, y + h * (k + 1) / (len(lines) + 1), text, fontsize=8, va="center", fontweight=weight)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": GREY, "linewidth": 1})


def _wrapped(texts: Sequence[str], most: int) -> list[str]:
    """Join texts by commas into lines of at most `most` characters, breaking those that are longer."""
    lines: list[str] = []
    for text in (line for long in texts for line in textwrap.wrap(long, most)):
        if lines and len(lines[-1]) + len(text) + 2 <= most:
            lines[-1] += f", {text}"
        else:
            lines.append(text)
    return lines


def _first_of_each(found: Sequence[External]) -> list[External]:
    return list({one.name: one for one in reversed(found)}.values())[::-1]
