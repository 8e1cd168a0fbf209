"""The datasheet of a release: Gebru et al., Datasheets for Datasets (doi 10.1145/3458723), filled from the facts."""

from collections.abc import Sequence

import jinja2
import pandas as pd

from mpox.curation.about import About, Pictures
from mpox.curation.flow import Step

# Marks what only a person can answer.
TO_FILL = "**To be filled in by a person:**"


def write(
    released: pd.DataFrame,
    *,
    about: About,
    pictures: Pictures,
    steps: Sequence[Step],
    kept: pd.DataFrame,
    reviewers: int,
) -> tuple[str, int]:
    """Return the datasheet as Markdown and how many places of it wait for a person.

    `released` is the release's manifest, `kept` the same photos in the curated one.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mpox.curation"),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    sides = kept[["width", "height"]].min(axis=1).where(kept["box"] == "", kept["box"].str.rpartition(" ")[2])
    text = environment.get_template("datasheet.md.jinja").render(
        about=about,
        pictures=pictures,
        steps=steps,
        fill=TO_FILL,
        reviewers=reviewers,
        photos=len(released),
        groups=released["group"].nunique(),
        subjects=released.loc[released["subject"] != "", "subject"].nunique(),
        without_subject=int((released["subject"] == "").sum()),
        table=released.groupby(["source", "label"]).size().unstack(fill_value=0).sort_index(),
        licences=about.licences_of(list(released["source"].unique())),
        masks=int((released["mask"] != "").sum()),
        boxes=int((kept["box"] != "").sum()),
        enlarged=int((sides.astype("int64") < pictures.size).sum()),
        relabelled=int((kept["label"] != kept["original_label"]).sum()),
        tones=_tones(released),
    )
    return text, text.count(TO_FILL)


def _tones(released: pd.DataFrame) -> list[tuple[str, int]]:
    """Count the bins of the skin-tone estimate, `unknown` last; empty where the audit made none."""
    if "ita_bin" not in released:
        return []
    bins = released["ita_bin"].astype("string").fillna("").replace({"": "unknown", "nan": "unknown"})
    counts = bins.value_counts()
    return [(str(name), int(counts[name])) for name in sorted(counts.index, key=lambda name: (name == "unknown", name))]
