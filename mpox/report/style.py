"""The one style of all figures: colours of Okabe & Ito (2008), sizes, and matplotlib's settings."""

from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY)
INK, GREY, PALE = "#1f2933", "#7b8794", "#d9dee4"
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
WIDTH = 7.2  # inches: the width of a page's text
PHONE_WIDTH = 3.6  # inches: what a phone shows at the same size of letters
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9,
    "figure.figsize": (WIDTH, WIDTH / 2),  # the first is the width that pictures are drawn in
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e9ecef",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "text.parse_math": False,  # a dollar in the name of a class is a dollar
    "svg.fonttype": "none",
    "svg.hashsalt": "mpox",
    "savefig.dpi": 200,
}
# For a phone: as wide as its screen, panels below one another instead of side by side.
PHONE_STYLE = {**STYLE, "figure.figsize": (PHONE_WIDTH, PHONE_WIDTH), "font.size": 8, "legend.fontsize": 7.5}
# How many models share a picture of curves before they hide one another.
CURVES = 5


def width() -> float:
    """Return the width in inches that pictures are drawn in now, by the style in use."""
    return float(mpl.rcParams["figure.figsize"][0])


def one_axes(height: float) -> tuple[Figure, Axes]:
    """Return a figure of full width, `height` in inches, with its axes."""
    figure = Figure(figsize=(width(), height), layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: nothing global, nothing to close
    return figure, figure.subplots()


def side_by_side(number: int, height: float, *, sharey: bool = True) -> tuple[Figure, list[Axes]]:
    """Return a figure of full width with `number` axes of this height side by side; on a phone one below the other."""
    rows = number if width() < WIDTH else 1
    figure = Figure(figsize=(width(), rows * height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, number // rows, sharey=sharey and rows == 1, squeeze=False).flat)
