"""What all runs of a study share: its manifest and its splits, made by the first of them and reused by the rest."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from mpox.data.checked import changed_photos
from mpox.data.folds import Folds, make_folds, read_folds, write_folds
from mpox.data.manifest import read_manifest, write_manifest
from mpox.data.sources import PhotoSet
from mpox.errors import UserError
from mpox.files import read_json, sha256_of, write_json

log = logging.getLogger(__name__)
# Where photos lie, and what is put up with when a study is made, may differ later; what they are may not.
MAY_MOVE = frozenset({"root", "cache", "manifest", "may_miss", "follow_links"})


def prepare(
    study: Path,
    described: Mapping[str, Any],
    source: Callable[[], PhotoSet],
    guard: Callable[[PhotoSet], PhotoSet],
    *,
    n_folds: int,
    seed: int,
    splits: str | None,
) -> tuple[PhotoSet, Folds]:
    """Return the study's photos and splits, reading them where they exist and making them where not.

    `<study>/manifest.parquet`, `data.json` and `splits.json` are made once, under a lock. `described` is the data
    configuration `source` and `guard` were built from (its `root` may move), `guard` what keeps copies of one picture
    together (`mpox.curation.guard`), `splits` a file to start from. Raises UserError where the study was made of other
    data or the photos are no longer those of the manifest, and whatever `source`, `guard`, `make_folds` and
    `read_folds` raise.
    """
    study.mkdir(parents=True, exist_ok=True)
    with FileLock(study / ".lock"):
        photos = _photos(study, described, lambda: guard(source()))
        folds = _folds(study / "splits.json", photos.manifest, n_folds, seed, splits)
    return photos, folds


def _photos(study: Path, described: Mapping[str, Any], source: Callable[[], PhotoSet]) -> PhotoSet:
    kept, place = study / "manifest.parquet", study / "data.json"
    given_root = described.get("root")
    lasting = {key: value for key, value in described.items() if key not in MAY_MOVE}
    table = _sha256(described.get("manifest"))
    if not (kept.exists() and place.exists()):
        photos = source()
        write_manifest(photos.manifest, kept)
        write_json(place, {"root": str(photos.root.resolve()), "data": lasting, "manifest_sha256": table})
        _say_what(photos.manifest)
        return photos
    made = read_json(place)
    if changes := [key for key in sorted({*made["data"], *lasting}) if made["data"].get(key) != lasting.get(key)]:
        shown = ", ".join(f"data.{key}: {made['data'].get(key)} -> {lasting.get(key)}" for key in changes)
        raise UserError(f"study {study} was made of other data ({shown}): use another study=")
    if table is not None and made.get("manifest_sha256") not in (None, table):
        raise UserError(
            f"study {study} was made of another manifest than {described['manifest']} is now: use another study="
        )
    manifest, root = read_manifest(kept), Path(given_root or made["root"])
    if changed := changed_photos(manifest, root):
        raise UserError(
            f"{len(changed)} photos of study {study} are missing or changed in {root} (first: {changed[0]}): restore "
            "them, or start a new study="
        )
    return PhotoSet(manifest, root)


def _sha256(path: Any) -> str | None:
    """Hash of a manifest file that is given and there."""
    file = None if path is None else Path(path).expanduser()
    return sha256_of(file) if file is not None and file.is_file() else None


def _folds(path: Path, manifest: pd.DataFrame, n_folds: int, seed: int, splits: str | None) -> Folds:
    given = Path(splits) if splits else None
    if given is not None and not given.is_file():
        raise UserError(f"splits={splits} does not exist: give a splits file, or leave it out to have one made")
    if path.exists():
        folds = read_folds(path, manifest, n_folds)
        if given is not None and read_folds(given, manifest, n_folds).sha256 != folds.sha256:
            raise UserError(f"splits={splits} differs from the study's own {path}: start a new study= with it")
        return folds
    folds = read_folds(given, manifest, n_folds) if given else make_folds(manifest, n_folds, seed)
    write_folds(folds, path)
    return folds


def _say_what(manifest: pd.DataFrame) -> None:
    kept = manifest[manifest["keep"]]
    counts = ", ".join(f"{count} {label}" for label, count in kept["label"].value_counts().items())
    out = len(manifest) - len(kept)
    log.info("%d photos (%s), %d groups%s", len(kept), counts, kept["group"].nunique(), f", {out} left out" * bool(out))
