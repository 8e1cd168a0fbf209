"""Where photos come from: each source gives a manifest and the folder its paths are relative to."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pooch

from mpox.data import synthetic
from mpox.data.manifest import complete, read_manifest, write_manifest
from mpox.data.photos import SUFFIXES, PhotoError, open_photo
from mpox.errors import UserError, reason_of
from mpox.locks import locked
from mpox.progress import watched
from mpox.temporary import scratch

# How many bad files one message names; the count is always whole.
NAMED = 5
# Pictures of types that training does not read: an audit lists them, so that nobody misses them silently.
OTHER_PICTURES = frozenset({".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".dng", ".cr2", ".nef", ".arw"})
# Beginnings of the reasons that a manifest read with `strict` false gives.
UNDECODABLE = "undecodable: "
UNSUPPORTED = "unsupported format {}: training reads it after it is saved again as JPEG or PNG"


@dataclass(frozen=True)
class PhotoSet:
    """A complete manifest (see `mpox.data.manifest`) and the folder its paths are relative to.

    `left` says, as `path (why)`, what lies below root and is no photo of the set; filled where `strict` is false.
    """

    manifest: pd.DataFrame
    root: Path
    left: tuple[str, ...] = ()


def folder(
    root: str | None,
    *,
    source: str | None = None,
    classes: Mapping[str, str] | None = None,
    class_level: int = 0,
    subject_pattern: str | None = None,
    strict: bool = True,
    hint: str = "give data.root=<folder with one folder a class>",
) -> PhotoSet:
    """Read `root/<class>/<photos>` and check every photo by decoding it.

    `classes` maps folder names, in any case, to labels (other folders are an error; none: the names are the labels).
    `class_level` is which part of a photo's path names its class: 0 the first folder below root, -1 the folder that
    holds the photo. `subject_pattern` is a regular expression searched in the file name whose group `subject` (or
    first group) is the patient; a photo it does not match is its own subject.
    Raises UserError for a missing or empty folder, an unknown class folder or a bad pattern; PhotoError naming the
    files that cannot be decoded. With `strict` false (an audit), those files and pictures of other types stay in the
    manifest with keep=false, a reason and width 0, and what is no photo is named in `left`.
    """
    if root is None or not Path(root).expanduser().is_dir():
        raise UserError(f"data.root={root or '(not given)'} is not a folder: {hint}")
    base = Path(root).expanduser()
    paths, left = _walk(base, SUFFIXES if strict else SUFFIXES | OTHER_PICTURES)
    if not strict:  # else the first of them raises below
        stray = [path for path in paths if not _has_level(path, class_level)]
        left += [f"{path.as_posix()} (lies in no class folder)" for path in stray]
        paths = [path for path in paths if _has_level(path, class_level)]
    if not paths:
        raise UserError(f"data.root={root} holds no photos ({', '.join(sorted(SUFFIXES))}): {hint}")
    folders = [_class_folder(path, class_level, base) for path in paths]
    if classes is not None:
        classes = {name.lower(): label for name, label in classes.items()}
        folders = [name.lower() for name in folders]
    if classes is not None and (unknown := sorted(set(folders) - set(classes))):
        raise UserError(
            f"data.root={root} has class folders that data.classes does not name: {', '.join(unknown)} "
            f"(it names {', '.join(classes)}): rename them or add them to data.classes"
        )
    frame = pd.DataFrame({"path": [path.as_posix() for path in paths]})
    frame["label"] = [classes[name] if classes is not None else name for name in folders]
    frame["subject"] = [_subject(path.name, subject_pattern) for path in paths]
    frame["reason"] = ["" if path.suffix.lower() in SUFFIXES else UNSUPPORTED.format(path.suffix) for path in paths]
    frame["keep"] = frame["reason"] == ""
    found = from_table(frame, base, source=source or base.resolve().name, strict=strict)
    return replace(found, left=tuple(left) if not strict else ())


def from_table(frame: pd.DataFrame, root: Path, *, source: str, strict: bool = True) -> PhotoSet:
    """Complete a table of photos (at least the columns path and label) and check every photo by decoding it.

    What a source of one's own ends with. `strict` and errors as in `folder`, and UserError as `complete` raises.
    """
    return PhotoSet(_inspect(complete(frame, source), root, strict), root)


def manifest(
    manifest: str | None,
    *,
    root: str | None = None,
    source: str | None = None,
    only: str | None = None,
    without: str | None = None,
    strict: bool = True,
) -> PhotoSet:
    """Read a manifest file (CSV or parquet); `root` defaults to the folder it lies in.

    `only` keeps the photos of one source (the column), `without` those of all others: leave-one-source-out. Photos with
    keep=false stay in the manifest and are neither opened nor used. `strict` and errors: as in `folder`, and UserError
    for a source the manifest does not have.
    """
    if manifest is None:
        raise UserError("data=manifest needs data.manifest=<file.csv|file.parquet>")
    path = Path(manifest).expanduser()
    base = Path(root).expanduser() if root else path.parent
    if not base.is_dir():
        raise UserError(f"data.root={root} is not a folder: give the folder the manifest's paths are relative to")
    frame = read_manifest(path, source)
    for option, name in (("only", only), ("without", without)):
        if name is None:
            continue
        if not (frame["source"] == name).any():
            has = ", ".join(sorted(frame["source"].unique()))
            raise UserError(f"data.{option}={name}: {path} has no such source (it has: {has})")
        frame = frame[(frame["source"] == name) == (option == "only")].reset_index(drop=True)
    return PhotoSet(_inspect(frame, base, strict), base)


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
    cache: str, *, subjects_per_class: int, photos_per_subject: int, size: int, seed: int, strict: bool = True
) -> PhotoSet:
    """Make (once; kept in `cache`) and read the synthetic photo set. Not medical images: see `mpox.data.synthetic`."""
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
    return manifest(str(base / "manifest.csv"), source="synthetic", strict=strict)


def _walk(base: Path, suffixes: frozenset[str]) -> tuple[list[Path], list[str]]:
    """Return the photos below `base`, relative and sorted, and all else as `path (why)`; links are not followed."""
    photos, left = [], []
    for place, folders, names in os.walk(base):
        here = Path(place)
        links = [name for name in folders if (here / name).is_symlink()]
        hidden = [name for name in folders if name.startswith(".")]
        folders[:] = [name for name in folders if name not in {*links, *hidden}]
        left += [f"{(here / name).relative_to(base).as_posix()} (link to a folder)" for name in links]
        left += [f"{(here / name).relative_to(base).as_posix()} (hidden folder)" for name in hidden]
        for name in names:
            path = here / name
            if why := _not_a_photo(path, suffixes):
                # A name that is not UTF-8 cannot be written as it is: show its bytes.
                shown = os.fsencode(path.relative_to(base)).decode("utf-8", "backslashreplace")
                left.append(f"{shown} ({why})")
            else:
                photos.append(path.relative_to(base))
    return sorted(photos), sorted(left)


def _not_a_photo(path: Path, suffixes: frozenset[str]) -> str:
    """Say why a file is not taken for a photo by its name and kind; empty where it is."""
    if path.name.startswith("."):
        return "hidden file"
    if path.suffix.lower() not in suffixes:
        return f"ending {path.suffix}" if path.suffix else "no ending"
    if not path.name.isprintable():
        return "its name is not UTF-8 or holds control characters: rename it"
    if not path.is_symlink() and not path.is_file():
        return "not a regular file"
    return ""


def _class_folder(path: Path, level: int, base: Path) -> str:
    if not _has_level(path, level):
        raise UserError(f"{base / path} lies in no class folder: move it into <root>/<class>/ or out of data.root")
    return path.parent.parts[level]


def _has_level(path: Path, level: int) -> bool:
    depth = len(path.parent.parts)
    return -depth <= level < depth


def _subject(name: str, pattern: str | None) -> str:
    if pattern is None:
        return ""
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise UserError(f"data.subject_pattern={pattern!r} is not a regular expression ({error})") from error
    if match is None:
        return ""
    if not match.re.groups:
        raise UserError(f"data.subject_pattern={pattern!r} has no group that is the subject: put it into brackets")
    return match["subject"] if "subject" in match.groupdict() else match[1]


def _inspect(frame: pd.DataFrame, root: Path, strict: bool) -> pd.DataFrame:
    """Fill sha256, bytes, width and height of the kept photos by reading and decoding each once, in threads."""
    kept = frame.index[frame["keep"]]
    if not len(kept):
        raise UserError(f"no photo of {root} is to be kept: the manifest's column 'keep' is false everywhere")
    with ThreadPoolExecutor() as pool:
        facts = pool.map(_facts, [root / path for path in frame.loc[kept, "path"]])
        read = list(watched(facts, f"checking {len(kept)} photos", len(kept)))
    bad = {row: str(fact) for row, fact in zip(kept, read, strict=True) if isinstance(fact, PhotoError)}
    if bad and strict:
        more = f" (and {len(bad) - NAMED} more)" if len(bad) > NAMED else ""
        where = f" (is data.root={root} the folder their paths start in?)" if len(bad) == len(kept) else ""
        named = "; ".join(list(bad.values())[:NAMED])
        raise PhotoError(f"{len(bad)} of {len(kept)} photos cannot be used{more}: {named}{where}")
    for row, why in bad.items():
        frame.loc[row, "keep"] = False
        frame.loc[row, "reason"] = UNDECODABLE + why.removeprefix(f"{root / frame['path'][row]}: ")
    kept = kept.drop(list(bad))
    read = [fact for fact in read if not isinstance(fact, PhotoError)]
    if not read:
        raise UserError(f"no photo of {root} can be read: the first is {next(iter(bad.values()))}")
    for column, values in zip(("sha256", "bytes", "width", "height"), zip(*read, strict=True), strict=True):
        if column == "sha256":
            _check_unchanged(frame.loc[kept], values)
        frame.loc[kept, column] = list(values)
    return frame


def _facts(path: Path) -> tuple[str, int, int, int] | PhotoError:
    try:
        photo = open_photo(path)
        content = path.read_bytes()
    except PhotoError as error:
        return error
    return hashlib.sha256(content).hexdigest(), len(content), photo.width, photo.height


def _check_unchanged(kept: pd.DataFrame, hashes: Sequence[str]) -> None:
    differs = (kept["sha256"] != "") & (kept["sha256"] != pd.Series(hashes, index=kept.index))
    if differs.any():
        raise UserError(
            f"{differs.sum()} photos are not those the manifest was made of (first: {kept['path'][differs].iloc[0]}): "
            "restore them or make the manifest again"
        )
