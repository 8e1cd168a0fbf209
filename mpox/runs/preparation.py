"""What all runs of a study share: its manifest and its splits, made by the first of them and reused by the rest."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mpox.data.added import warn_of_added
from mpox.data.folds import Folds, make_folds, read_folds, write_folds
from mpox.data.manifest import read_manifest, write_manifest
from mpox.data.sources import PhotoSet
from mpox.data.unchanged import changed_photos
from mpox.errors import UserError
from mpox.files import read_json, read_record, sha256_of, write_json
from mpox.locks import is_held, locked
from mpox.runs.run_state import can_resume, fold_of, state_of

log = logging.getLogger(__name__)
# Written in this order.
FILES = ("manifest.parquet", "data.json", "splits.json")
# The photos' folder and tolerances may differ later; the photos themselves may not.
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
    cache: Path,
    own: Path | None = None,
) -> tuple[PhotoSet, Folds]:
    """Return the study's photos and splits, reading them where runs depend on them and making them where none does.

    `<study>/manifest.parquet`, `data.json` and `splits.json` are written together, under a lock, when all checks of
    the photos have passed. From the first run on that is done, or has an epoch to resume from, or is in progress (other
    than `own`, the run directory of the caller), they stay, and photos that came later are named in a warning; before,
    they are made again from the photos as they are now. `described` is the data configuration `source` and `guard` were
    built from (its `root` may move), `guard` what keeps copies of one picture together (`mpox.curation.guard`),
    `splits` a file to start from, `cache` where it is noted which photos were seen unchanged. Raises UserError where
    the study was made of other data or the photos are no longer those of the manifest, and whatever `source`, `guard`,
    `make_folds` and `read_folds` raise.
    """
    given = Path(splits).expanduser() if splits else None
    if given is not None and not given.is_file():
        raise UserError(f"splits={splits} does not exist: give a splits file, or leave it out to have one made")
    with locked(study / "study"):
        made = [study / name for name in FILES]
        if all(path.exists() for path in made) and _is_in_use(study, own):
            photos = _read(study, described, cache)
            folds = _folds_in_use(made[2], photos.manifest, n_folds, given)
        else:
            photos = guard(source())
            folds = _first_folds(made, photos.manifest, n_folds, seed, given)
            _write(study, described, photos, folds)
    return photos, folds


def recorded_root(study: Path) -> Path:
    """Return the folder that a study's photos lay in when it was made. Raises UserError where data.json is broken."""
    return Path(read_record(study / FILES[1], root=str)["root"])


def look_for_added(study: Path, described: Mapping[str, Any]) -> None:
    """Warn of photos that a study lacks whose jobs are done (`mpox.data.added`); nothing else of it is checked."""
    if not all((study / name).exists() for name in FILES):
        return
    given, table = described.get("root"), _sha256(described.get("manifest"))
    try:
        root = Path(given).expanduser() if given else recorded_root(study)
        if root.is_dir() and (table is None or table != read_json(study / FILES[1]).get("manifest_sha256")):
            warn_of_added(study.name, read_manifest(study / FILES[0]), described, root)
    except UserError as error:  # of a file that these jobs do not need
        log.warning("%s", error)


def _is_in_use(study: Path, own: Path | None) -> bool:
    """Return whether a run depends on the study's files: one with results or an epoch, or in progress."""
    for place in study.glob("*/fold-*"):
        if fold_of(place) is not None:
            if can_resume(place) or (place != own and is_held(place)):
                return True
            try:
                if state_of(place) == "done":
                    return True
            except UserError:  # unreadable: perhaps it was
                return True
    return False


def _read(study: Path, described: Mapping[str, Any], cache: Path) -> PhotoSet:
    made = read_json(study / FILES[1])
    try:
        before, root, table_before = dict(made["data"]), Path(made["root"]), made.get("manifest_sha256")
        searched = (before.get("guard") or {}).get("search")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{study / FILES[1]} does not describe the study's data: restore it") from error
    lasting, table = _lasting(described, searched), _sha256(described.get("manifest"))
    if changes := [key for key in sorted({*before, *lasting}) if before.get(key) != lasting.get(key)]:
        shown = ", ".join(f"data.{key}: {before.get(key)} -> {lasting.get(key)}" for key in changes)
        raise UserError(f"study {study} was made of other data ({shown}): use another study=")
    if table is not None and table_before not in (None, table):
        raise UserError(
            f"study {study} was made of another manifest than {described['manifest']} is now: use another study="
        )
    given = described.get("root")
    photos = PhotoSet(read_manifest(study / FILES[0]), Path(given).expanduser() if given else root)
    if changed := changed_photos(photos.manifest, photos.root, cache):
        raise UserError(
            f"{len(changed)} photos of study {study} are missing or changed in {photos.root} (first: {changed[0]}): "
            "restore them, or start a new study="
        )
    if table is None or table != table_before:  # a table that is the study's own holds no photo that is new
        warn_of_added(study.name, photos.manifest, described, photos.root)
    return photos


def _folds_in_use(path: Path, manifest: pd.DataFrame, n_folds: int, given: Path | None) -> Folds:
    folds = read_folds(path, manifest, n_folds)
    if given is not None and read_folds(given, manifest, n_folds).sha256 != folds.sha256:
        raise UserError(f"splits={given} differs from the study's own {path}: start a new study= with it")
    return folds


def _first_folds(made: list[Path], manifest: pd.DataFrame, n_folds: int, seed: int, given: Path | None) -> Folds:
    """The splits that are given, those in the study where a person put or edited them there, else new ones."""
    if given is not None:
        return read_folds(given, manifest, n_folds)
    kept, _, splits = made
    if splits.exists():
        try:
            return read_folds(splits, manifest, n_folds)
        except UserError:
            if not (kept.exists() and _made_by_itself(splits, read_manifest(kept))):
                raise
    return make_folds(manifest, n_folds, seed)


def _made_by_itself(splits: Path, manifest: pd.DataFrame) -> bool:
    """Return whether splits are what `make_folds` makes of the manifest beside them: then no person's work is lost."""
    content = read_json(splits)
    try:
        made = make_folds(manifest, int(content["n_folds"]), int(content["seed"]))
        return json.loads(json.dumps(made.ids)) == content["folds"]
    except (UserError, KeyError, TypeError, ValueError):
        return False


def _write(study: Path, described: Mapping[str, Any], photos: PhotoSet, folds: Folds) -> None:
    kept, place, splits = (study / name for name in FILES)
    if kept.exists() and not _same(kept, photos.manifest):
        log.warning("the photos are not those that study %s began with; no run of it is done: it begins again", study)
    write_manifest(photos.manifest, kept)
    table = _sha256(described.get("manifest"))
    searched = None if photos.copies is None else photos.copies["search"]
    what = {"data": _lasting(described, searched), "copies": photos.copies, "manifest_sha256": table}
    write_json(place, {"root": str(photos.root.resolve()), **what})
    write_folds(folds, splits)
    _log_counts(photos.manifest)


def _same(kept: Path, manifest: pd.DataFrame) -> bool:
    try:
        before = read_manifest(kept)
    except UserError:
        return False
    return list(before["photo_id"]) == list(manifest["photo_id"]) and list(before["sha256"]) == list(manifest["sha256"])


def _lasting(described: Mapping[str, Any], searched: str | None) -> dict[str, Any]:
    """What the photos are; where the search for copies was left to the guard, the one it made (or will not repeat)."""
    lasting = {key: value for key, value in described.items() if key not in MAY_MOVE}
    if searched and (lasting.get("guard") or {}).get("search") == "auto":
        lasting["guard"] = {**lasting["guard"], "search": searched}
    return lasting


def _sha256(path: Any) -> str | None:
    """Hash of a manifest file that is given and there."""
    file = None if path is None else Path(path).expanduser()
    return sha256_of(file) if file is not None and file.is_file() else None


def _log_counts(manifest: pd.DataFrame) -> None:
    kept = manifest[manifest["keep"]]
    counts = ", ".join(f"{count} {label}" for label, count in kept["label"].value_counts().items())
    out = len(manifest) - len(kept)
    log.info("%d photos (%s), %d groups%s", len(kept), counts, kept["group"].nunique(), f", {out} left out" * bool(out))
