"""Results of `mpox.explain` in the run directories of a study: maps, audits, measures, and clinicians' ratings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mpox.errors import UserError
from mpox.files import read_json
from mpox.places import inside

# Whose map is shown where a run was explained in several ways.
FIRST = "gradcam"


@dataclass(frozen=True)
class Explained:
    """Reports of one run as `mpox.explain` wrote them; None, or an empty tuple, for what was not done."""

    model: str
    fold: int | str
    audit: dict[str, Any] | None
    faithfulness: tuple[dict[str, Any], ...]
    ratings: dict[str, Any] | None


@dataclass(frozen=True)
class Map:
    """The overlay of a photo, and what it is: `gradcam of mpox`."""

    path: Path
    words: str


def explained_runs(study: Path, models: Sequence[str], folds: Sequence[int | str]) -> list[Explained]:
    """Return the runs of a study about whose explanations something is known, models outer in the given order.

    Raises UserError for a report that cannot be read.
    """
    found = []
    for model in models:
        for fold in folds:
            place = study / model / f"fold-{fold}" / "explain"
            measured = tuple(_report(path) for path in sorted(place.glob("faithfulness-*.json")))
            audit, ratings = (
                _report(place / name) if (place / name).is_file() else None for name in ("audit.json", "ratings.json")
            )
            if audit or measured or ratings:
                found.append(Explained(model, fold, audit, measured, ratings))
    return found


def maps_of(run: Path) -> dict[str, Map]:
    """Return the map of each explained photo of a run by its path below the photo root; Grad-CAM's, if it has several.

    Raises UserError for an index that cannot be read.
    """
    found: dict[str, Map] = {}
    folders = sorted(run.glob("explain/*/index.parquet"), key=lambda path: (path.parent.name != FIRST, path))
    for index in folders:
        try:
            table = pd.read_parquet(index, columns=["path", "overlay", "target"])
        except (OSError, ValueError) as error:
            raise UserError(f"{index} cannot be read ({error}): explain the run again") from error
        for path, overlay, target in table.itertuples(index=False):
            found.setdefault(path, Map(inside(index.parent, overlay, index), f"{index.parent.name} of {target}"))
    return found


def _report(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is not a report of mpox.explain ({error}): make it again") from error
