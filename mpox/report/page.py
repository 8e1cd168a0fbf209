"""The report of a study: one HTML file that needs nothing else, for clinicians and engineers, on screen and paper."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mpox import __version__
from mpox.data.folds import ALL, NONE_HELD_OUT, title_of
from mpox.data.picture_files import data_uri
from mpox.errors import UserError
from mpox.files import read_json, replacing
from mpox.report import formatting as words
from mpox.report import strips
from mpox.report.checklist import ITEMS
from mpox.report.explanations import explained_runs
from mpox.report.figures import RANKING, phone_figures, write_figures
from mpox.report.mistakes import failures
from mpox.report.unbroken import unbroken
from mpox.runs.differences import leaves
from mpox.runs.portable import portable
from mpox.stats import printed
from mpox.stats.comparison import BEST, Comparison
from mpox.stats.model_result import ModelResult

# Jobs that are not compared beyond this number are counted, pairs not printed on paper; the JSON has all.
JOBS, PAIRS_PRINTED = 60, 30


def write_page(comparison: Comparison, folder: Path, photo_root: Path | None) -> Path:
    """Write `folder`/index.html and `folder`/figures, and return the page's path.

    Photos of the most confident mistakes are embedded where `photo_root` holds them; None embeds none. The folder is
    `<study>/comparison`: results of `mpox.explain` are read from the study's runs, counts of `mpox.curate` from beside
    the manifest it was trained from. All text is escaped. Raises UserError for such a file that cannot be read.
    """
    pictures = write_figures(comparison, folder / "figures")
    study = folder.parent
    model = comparison.focus
    key = words.shown_metrics(comparison)
    names = [one.name for one in words.in_front(comparison, len(comparison.models))]
    gallery = failures(model.mistakes, photo_root, study / model.name)
    html = (
        environment(_of_no_machine)
        .get_template("page.html.j2")
        .render(
            c=comparison,
            model=model,
            figures={name: _embedded(path.read_bytes()) for name, path in pictures.items() if name != RANKING},
            on_phones={name: _embedded(drawn) for name, drawn in phone_figures(comparison).items()},
            gallery=gallery,
            photos_shown=any(failure.photo for failure in gallery),
            audit=_curated(model.config),
            explained=explained_runs(study, names, [ALL, *comparison.folds]),
            checklist=ITEMS,
            key=key,
            columns=[name for name in dict.fromkeys(["accuracy", *key]) if name != comparison.metric],
            config=portable(leaves(comparison.config)),
            own_config=portable(_own(comparison, model)),
            incomplete=[job for job in comparison.completeness if not job.used],
            ranks=strips.ranking_axis(comparison),
            behind=strips.behind(comparison),
            apart=strips.behind_axis(comparison),
            pairs_printed=PAIRS_PRINTED,
            jobs_shown=JOBS,
            best=BEST,
            has_exports=any(one.costs.export_size_mb is not None for one in comparison.models),
            version=__version__,
        )
    )
    path = folder / "index.html"
    with replacing(path) as temporary:
        temporary.write_text(unbroken(html), encoding="utf-8")
    return path


def environment(written: Callable[[Any], Any] | None = None) -> jinja2.Environment:
    """Return the templates' environment: HTML is escaped, an unknown name is an error, figures are written as words.

    `written`: applied to every value before it is escaped.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("mpox.report", "templates"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        finalize=written,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("breakable", "metric_name", "verdict_name", "over_folds", "count", "duration", "reason"):
        made.filters[name] = getattr(words, name)
    for name in ("number", "percent", "bounds", "interval", "percent_interval", "p_value"):
        made.filters[name] = getattr(printed, name)
    made.filters["title_of"], made.globals["none_held_out"] = title_of, NONE_HELD_OUT
    return made


def _of_no_machine(value: Any) -> Any:
    """Return a text without paths of this machine; markup stays."""
    return portable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _embedded(picture: bytes) -> str:
    return data_uri(picture, "image/svg+xml")


def _curated(config: dict[str, Any]) -> dict[str, Any] | None:
    """Return what curation counted of the photos of a run, where they came from a manifest with its audit.json."""
    manifest = (config.get("data") or {}).get("manifest")
    path = None if manifest is None else Path(manifest).parent / "audit.json"
    if path is None or not path.is_file():
        return None
    try:
        return {name: read_json(path)[name] for name in ("photos", "findings", "pairs")}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not an audit of mpox.curate ({error}): run the audit again") from error


def _own(comparison: Comparison, model: ModelResult) -> dict[str, Any]:
    """Return the model's own configuration, without what all runs share."""
    shared = leaves(comparison.config)
    return {key: value for key, value in leaves(model.config).items() if key not in shared}
