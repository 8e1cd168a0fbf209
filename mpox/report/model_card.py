"""A Markdown model card of the chosen model (Mitchell et al., "Model Cards for Model Reporting", FAT* 2019)."""

from pathlib import Path

from mpox import __version__
from mpox.files import replacing
from mpox.report.checklist import ITEMS
from mpox.report.formatting import shown_metrics
from mpox.report.page import environment
from mpox.stats.comparison import Comparison


def write_model_card(comparison: Comparison, folder: Path) -> Path:
    """Write `folder`/model_card.md of the chosen model, else of the one of rank 1; return its path.

    Figures are filled in; what only people know is marked as open.
    """
    model = comparison.focus
    text = (
        environment()
        .get_template("model_card.md.j2")
        .render(
            c=comparison,
            model=model,
            key=shown_metrics(comparison),
            external=[one for one in comparison.external if one.model == model.name],
            open_items=[item for item in ITEMS if item.section is None],
            version=__version__,
        )
    )
    path = folder / "model_card.md"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
