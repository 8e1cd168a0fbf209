"""Where photos come from: each source gives a manifest and the folder its paths are relative to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pooch

from mpox.console import visible
from mpox.data import synthetic
from mpox.data.accounting import Lost, account, pass_over
from mpox.data.checked import check_photos
from mpox.data.manifest import complete, read_manifest, write_manifest
from mpox.data.names import by_key, is_utf8, key
from mpox.data.photos import SUFFIXES, PhotoError
from mpox.data.roots import check_copies, check_labels, check_outputs, check_parts, class_of, empty_classes
from mpox.data.subjects import keep_together, one_spelling, subjects
from mpox.data.walk import Other, Walk, walk
from mpox.errors import UserError, reason_of
from mpox.locks import locked
from mpox.temporary import scratch


@dataclass(frozen=True)
class PhotoSet:
    """A complete manifest (see `mpox.data.manifest`) and the folder its paths are relative to.

    Photos that cannot be used are rows with keep=false and a reason. `left` lists, as `path (why)`, the files below
    root that are in no row. `drawn`: the pictures are generated, so that none is a cut of another. `copies`: the search
    for copies that was made (`mpox.curation.guard`).
    """

    manifest: pd.DataFrame
    root: Path
    left: tuple[str, ...] = ()
    drawn: bool = False
    copies: Mapping[str, str | None] | None = None


def folder(
    root: str | None,
    *,
    source: str | None = None,
    classes: Mapping[str, str] | None = None,
    class_level: int = 0,
    subject_pattern: str | None = None,
    may_miss: float = 0.0,
    follow_links: bool = False,
    strict: bool = True,
    hint: str = "give data.root=<folder with one folder a class>",
) -> PhotoSet:
    """Read `root/<class>/<photos>` (see `mpox.data.walk`) and check every photo by decoding it.

    `classes` maps folder names, in any case, to labels (other folders are an error; none: the names are the labels).
    `class_level` is which part of a photo's path names its class: 0 the first folder below root, -1 the folder that
    holds the photo. `subject_pattern`: see `mpox.data.subjects`; a photo without a subject is its own. Links out of the
    folder are read with `follow_links` alone. Photos that cannot be used are left out with a warning, up to the share
    `may_miss` (0..1) of all, never a whole class.
    Raises UserError for a missing or empty folder, one that `mpox.data.roots` refuses, an unknown class folder or a bad
    pattern; PhotoError naming what is lost. With `strict` false (an audit) lost photos are no error, nor are copies or
    class names that differ in case alone.
    """
    root = None if root is None else str(root)  # a folder may be named by a year
    if root is None or not Path(root).expanduser().is_dir():
        raise UserError(f"data.root={root or '(not given)'} is not a folder: {hint}")
    base = Path(root).expanduser()
    if not is_utf8(str(base.resolve())):
        raise UserError(f"data.root={visible(str(root))} is in a folder whose name is not UTF-8: rename it")
    found = walk(base, follow_links=follow_links)
    check_outputs(found, root)
    names = None if classes is None else by_key(classes)
    frame, lost = pictures(found, class_level, names)
    stray = frame.loc[frame["folder"] == "", "path"]
    if strict and len(stray):
        raise UserError(
            f"{base / stray.iloc[0]} is in no class folder: move it into <root>/<class>/ or out of data.root"
        )
    left = [f"{path} (is in no class folder)" for path in map(visible, stray)]
    frame = frame[frame["folder"] != ""].reset_index(drop=True)
    if frame.empty and not lost:
        raise UserError(f"data.root={root} holds no photos ({', '.join(sorted(SUFFIXES))}): {hint}")
    _check_classes(frame, names, root, strict)
    frame["subject"] = subjects(list(frame["path"]), subject_pattern)
    manifest = complete(frame.drop(columns="folder"), source or base.resolve().name)
    checked, unreadable = check_photos(manifest, base, follow_links=True)  # the walk has seen to links
    _account(checked, [*lost, *unreadable], base, may_miss, strict)
    if strict:
        check_copies(checked[checked["keep"]], base)
    listed = set(frame["path"])
    others = [other for other in found.others if other.path.as_posix() not in listed]
    held = {*frame["folder"], *(class_of(_folders(other), class_level) for other in others if other.lost)}
    unseen = sorted(set(names.values()) - set(frame["label"])) if names else []
    pass_over([other for other in others if not other.lost], empty_classes(found, class_level, held), unseen)
    return PhotoSet(checked, base, tuple(sorted([*left, *map(str, others)])))


def from_table(
    frame: pd.DataFrame,
    root: Path,
    *,
    source: str,
    strict: bool = True,
    may_miss: float = 0.0,
    follow_links: bool = False,
) -> PhotoSet:
    """Complete a table of photos (at least the columns path and label) and check every photo by decoding it.

    The last step of a source of one's own. The options and errors are those of `folder`, and UserError as `complete`.
    """
    checked, unreadable = check_photos(complete(frame, source), root, follow_links=follow_links)
    _account(checked, unreadable, root, may_miss, strict)
    return PhotoSet(checked, root)


def manifest(
    manifest: str | None,
    *,
    root: str | None = None,
    source: str | None = None,
    only: str | None = None,
    without: str | None = None,
    subject_pattern: str | None = None,
    may_miss: float = 0.0,
    follow_links: bool = False,
    strict: bool = True,
) -> PhotoSet:
    """Read a manifest file (CSV or parquet); `root` defaults to the manifest's folder.

    `only` keeps the photos of one source (the column), `without` those of all others: leave-one-source-out. Photos with
    keep=false stay in the manifest and are neither opened nor used. `subject_pattern` gives a subject to photos that
    have none; photos of one subject of a source share a group. The other options and errors: as in `folder`, and
    UserError for a source the manifest does not have and for paths that leave the root.
    """
    if manifest is None:
        raise UserError("data=manifest needs data.manifest=<file.csv|file.parquet>")
    path = Path(manifest).expanduser()
    base = Path(root).expanduser() if root else path.parent
    if not base.is_dir():
        raise UserError(f"data.root={root} is not a folder: give the folder the manifest's paths are relative to")
    frame = read_manifest(path, source, root=base)
    for option, name in (("only", only), ("without", without)):
        if name is None:
            continue
        if not (frame["source"] == str(name)).any():
            has = ", ".join(sorted(frame["source"].unique()))
            raise UserError(f"data.{option}={name}: {path} has no such source (it has: {has})")
        frame = of_source(frame, name, without=option == "without")
    kept = frame["keep"]
    if strict:
        check_labels(frame.loc[kept, "label"].unique(), str(path))
    if subject_pattern is not None:
        lacking = kept & (frame["subject"] == "")
        frame.loc[lacking, "subject"] = subjects(list(frame.loc[lacking, "path"]), subject_pattern)
    frame = keep_together(frame.assign(subject=one_spelling(list(frame["subject"]))))
    checked, lost = check_photos(frame, base, follow_links=follow_links)
    if lost and not checked["keep"].any() and all(entry.why.startswith("no such file") for entry in lost):
        raise PhotoError(
            f"{len(lost)} of {len(lost)} photos cannot be used: {base / lost[0].path}: no such file (is "
            f"data.root={base} the folder their paths start in?)"
        )
    _account(checked, lost, base, may_miss, strict)
    return PhotoSet(checked, base)


def zenodo(doi: str, cache: str, *, root: str | None = None, source: str, **layout: Any) -> PhotoSet:
    """Download a Zenodo record once into `cache` (checksums by pooch), unpack its archives and read it as a folder.

    `root` is a folder that holds it already: nothing is downloaded. `layout` goes to `folder`. Raises UserError
    where the record cannot be fetched, with the way to do it by hand.
    """
    by_hand = f"download it from https://doi.org/{doi}, unpack it and give data.root=<folder>"
    if root is None:
        place = Path(cache) / f"zenodo-{doi.rpartition('.')[2]}"
        try:
            fetcher = pooch.create(path=place, base_url=f"doi:{doi}", retry_if_failed=2)
            fetcher.load_registry_from_doi()
            for name in fetcher.registry_files:
                archive = name.lower().endswith(".zip")
                fetcher.fetch(name, processor=pooch.Unzip(extract_dir="photos") if archive else None, progressbar=True)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot download {doi} ({reason_of(error)}): {by_hand}") from error
        root = str(place / "photos")
    return folder(root, source=source, hint=by_hand, **layout)


def generated(
    cache: str, *, subjects_per_class: int, photos_per_subject: int, size: int, seed: int, **reading: Any
) -> PhotoSet:
    """Make (once; kept in `cache`) and read the synthetic photo set. Not medical images: see `mpox.data.synthetic`.

    `reading` (strict, may_miss, follow_links) goes to `manifest`.
    """
    recipe = f"{subjects_per_class}x{photos_per_subject}-{size}px-seed{seed}-v{synthetic.VERSION}"
    base = Path(cache) / f"synthetic-{recipe}"
    with locked(base):
        if not base.exists():
            with scratch(base.parent) as place:
                made = place / base.name
                made.mkdir()
                frame = synthetic.generate(
                    made,
                    subjects_per_class=subjects_per_class,
                    photos_per_subject=photos_per_subject,
                    size=size,
                    seed=seed,
                )
                write_manifest(complete(frame, "synthetic"), made / "manifest.csv")
                made.rename(base)
    return replace(manifest(str(base / "manifest.csv"), source="synthetic", **reading), drawn=True)


def of_source(frame: pd.DataFrame, name: str, *, without: bool) -> pd.DataFrame:
    """Return the rows of one source, or (`without`) those of all others."""
    return frame[(frame["source"] == str(name)) != without].reset_index(drop=True)


def pictures(found: Walk, level: int, names: Mapping[str, str] | None) -> tuple[pd.DataFrame, list[Lost]]:
    """Return a row (path, folder, label, keep, reason, its kind) a photo or other picture, and what else is lost.

    `folder` is the class folder, empty where a photo is in none; `label` is the folder's name mapped by `names`.
    """

    def label(name: str) -> str:
        return name.strip() if names is None else names.get(key(name), name)

    rows = [(path.as_posix(), class_of(path.parent.parts, level) or "", "", "") for path in found.photos]
    lost = []
    for other in found.others:
        place = class_of(_folders(other), level) or ""
        if other.lost:
            lost.append(Lost(label(place) if place else "", visible(str(other.path)), other.why, other.folder))
        if other.lost and place and not other.folder and is_utf8(str(other.path)):
            rows.append((other.path.as_posix(), place, other.why, other.kind))
    frame = pd.DataFrame(rows, columns=["path", "folder", "reason", "reason_kind"])
    return frame.assign(label=[label(name) for name in frame["folder"]], keep=frame["reason"] == ""), lost


def _folders(other: Other) -> tuple[str, ...]:
    return other.path.parts if other.folder else other.path.parent.parts


def _check_classes(frame: pd.DataFrame, names: Mapping[str, str] | None, root: object, strict: bool) -> None:
    """Raise UserError for class folders that are the parts of a split, unknown, or (`strict`) differ in case alone."""
    folders = set(frame["folder"])
    unknown = sorted(name for name in folders if names is not None and key(name) not in names)
    check_parts(folders if names is None else unknown, root)
    if names is not None and unknown:
        raise UserError(
            f"data.root={root} has class folders that data.classes does not name: {', '.join(map(visible, unknown))} "
            f"(it names {', '.join(names)}): rename them or add them to data.classes"
        )
    if strict:
        check_labels(set(frame["label"]), f"data.root={root}")


def _account(checked: pd.DataFrame, lost: list[Lost], root: Path, may_miss: float, strict: bool) -> None:
    """Log what is lost, or raise; see `mpox.data.accounting`. An audit goes on with whatever can be read."""
    if isinstance(may_miss, bool) or not isinstance(may_miss, int | float) or not 0 <= may_miss <= 1:
        raise UserError(f"data.may_miss={may_miss} is no share of the photos: give a number from 0 to 1")
    kept = checked[checked["keep"]]
    if kept.empty and not lost:
        raise UserError(f"no photo of {root} is to be kept: the manifest's column 'keep' is false everywhere")
    account(lost, set(kept["label"]), len(kept), root, may_miss if strict or kept.empty else None)
