"""The photos that an evaluation scores, and those of the study that must not be among them."""

from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from mpox.config import build
from mpox.curation.copies import gather
from mpox.data.csv_table import read_csv
from mpox.data.manifest import read_manifest
from mpox.data.sources import PhotoSet
from mpox.data.subjects import keep_together
from mpox.data.unchanged import changed_photos
from mpox.errors import UserError
from mpox.external.scoring import CHECKS
from mpox.runs.preparation import recorded_root


def photos_to_score(cfg: DictConfig) -> PhotoSet:
    """Read the configured photos; copies of one picture share a group, so that intervals count them once.

    The search among them is that of training (`auto`) however photos of the study are looked for, since these photos
    are there to be opened; with duplicates=off there is none.
    """
    if cfg.duplicates not in CHECKS:
        raise UserError(f"duplicates={cfg.duplicates} is unknown: choose one of {', '.join(CHECKS)}")
    photos, _ = gather(
        build(cfg.data, allowed=cfg.allow_targets),
        Path(cfg.cache_dir),
        "none" if cfg.duplicates == "off" else "auto",
        asked=f"duplicates={cfg.duplicates} among these photos",
        harm="count as independent, which makes intervals too narrow",
    )
    return photos


def photos_seen(study: Path, root: str | None, cache: Path, *, opened: bool) -> PhotoSet:
    """Return the photos of the study; UserError where they must be `opened` and are not where they were."""
    manifest = read_manifest(study / "manifest.parquet")
    place = Path(root or recorded_root(study))
    if opened and (changed := changed_photos(manifest, place, cache)):
        raise UserError(
            f"{len(changed)} photos of study {study.name} are missing or changed in {place} (first: {changed[0]}), so "
            "that duplicates of them cannot be seen: give study_root=<folder>, or duplicates=exact to compare files"
        )
    return PhotoSet(manifest, place)


def given_pairs(path: str | None) -> pd.DataFrame | None:
    """Read the table of known matches (at least photo_id and other). Raises UserError for one without these."""
    if path is None:
        return None
    try:
        csv = Path(path).suffix.lower() in (".csv", ".tsv")
        table = read_csv(Path(path), ("photo_id", "other")) if csv else pd.read_parquet(path)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"pairs={path} cannot be read ({error}): give a CSV or parquet file") from error
    if not {"photo_id", "other"} <= set(table.columns):
        raise UserError(f"pairs={path} lacks the columns photo_id and other: it has {', '.join(map(str, table))}")
    return table


def whole_list(data: dict[str, Any]) -> pd.Series | None:
    """Return the groups, by photo_id, of the whole manifest of which `data` takes one source, or all others."""
    if not data.get("manifest") or (data.get("only") is None and data.get("without") is None):
        return None
    root = data.get("root")
    path = Path(data["manifest"]).expanduser()
    whole = read_manifest(path, data.get("source"), root=Path(root).expanduser() if root else path.parent)
    return keep_together(whole).set_index("photo_id")["group"]
