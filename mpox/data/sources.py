"""Where photos come from: each source gives a manifest and the folder its paths are relative to."""

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pooch
from filelock import FileLock

from mpox.data import synthetic
from mpox.data.manifest import complete, read_manifest, write_manifest
from mpox.data.photos import SUFFIXES, PhotoError, open_photo
from mpox.errors import UserError
from mpox.progress import watched

# How many bad files one message names; the count is always whole.
NAMED = 5


@dataclass(frozen=True)
class PhotoSet:
    """A complete manifest (see `mpox.data.manifest`) and the folder its paths are relative to."""

    manifest: pd.DataFrame
    root: Path


def folder(
    root: str | None,
    *,
    source: str | None = None,
    classes: Mapping[str, str] | None = None,
    class_level: int = 0,
    subject_pattern: str | None = None,
    hint: str = "give data.root=<folder with one folder a class>",
) -> PhotoSet:
    """Read `root/<class>/<photos>` and check every photo by decoding it.

    `classes` maps folder names, in any case, to labels (other folders are an error; none: the names are the labels).
    `class_level` is which part of a photo's path names its class: 0 the first folder below root, -1 the folder that
    holds the photo. `subject_pattern` is a regular expression searched in the file name whose group `subject` (or
    first group) is the patient; a photo it does not match is its own subject.
    Raises UserError for a missing or empty folder, an unknown class folder or a bad pattern; PhotoError naming the
    files that cannot be decoded.
    """
    if root is None or not Path(root).expanduser().is_dir():
        raise UserError(f"data.root={root or '(not given)'} is not a folder: {hint}")
    base = Path(root).expanduser()
    paths = [path.relative_to(base) for path in sorted(base.rglob("*")) if path.suffix.lower() in SUFFIXES]
    paths = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
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
    return PhotoSet(_inspect(complete(frame, source or base.resolve().name), base), base)


def manifest(
    manifest: str | None,
    *,
    root: str | None = None,
    source: str | None = None,
    only: str | None = None,
    without: str | None = None,
) -> PhotoSet:
    """Read a manifest file (CSV or parquet); `root` defaults to the folder it lies in.

    `only` keeps the photos of one source (the column), `without` those of all others: leave-one-source-out. Photos with
    keep=false stay in the manifest and are neither opened nor used. Raises as `folder` does, and UserError for a source
    the manifest does not have.
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
    return PhotoSet(_inspect(frame, base), base)


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
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"cannot download {doi} ({reason}): {by_hand}") from error
        root = str(place / "photos")
    return folder(root, source=source, hint=by_hand, **layout)


def generated(cache: str, *, subjects_per_class: int, photos_per_subject: int, size: int, seed: int) -> PhotoSet:
    """Make (once; kept in `cache`) and read the synthetic photo set. Not medical images: see `mpox.data.synthetic`."""
    recipe = f"{subjects_per_class}x{photos_per_subject}-{size}px-seed{seed}-v{synthetic.VERSION}"
    base = Path(cache) / f"synthetic-{recipe}"
    base.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{base}.lock"):
        if not base.exists():
            with tempfile.TemporaryDirectory(dir=base.parent, prefix=".synthetic-") as folder_name:
                made = Path(folder_name) / base.name
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
    return manifest(str(base / "manifest.csv"), source="synthetic")


def changed_photos(frame: pd.DataFrame, root: Path) -> list[str]:
    """Return the paths of kept photos that are missing or differ in size from the manifest; reads no photo."""
    kept = frame[frame["keep"]]
    return [path for path, size in zip(kept["path"], kept["bytes"], strict=True) if _size(root / path) != size]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _class_folder(path: Path, level: int, base: Path) -> str:
    folders = path.parent.parts
    if not -len(folders) <= level < len(folders):
        raise UserError(f"{base / path} lies in no class folder: move it into <root>/<class>/ or out of data.root")
    return folders[level]


def _subject(name: str, pattern: str | None) -> str:
    if pattern is None:
        return ""
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise UserError(f"data.subject_pattern={pattern!r} is not a regular expression ({error})") from error
    if match is None:
        return ""
    return match["subject"] if "subject" in match.groupdict() else match[1]


def _inspect(frame: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Fill sha256, bytes, width and height of the kept photos by reading and decoding each once, in threads."""
    kept = frame.index[frame["keep"]]
    if not len(kept):
        raise UserError(f"no photo of {root} is to be kept: the manifest's column 'keep' is false everywhere")
    with ThreadPoolExecutor() as pool:
        facts = pool.map(_facts, [root / path for path in frame.loc[kept, "path"]])
        read = list(watched(facts, f"checking {len(kept)} photos", len(kept)))
    bad = [str(fact) for fact in read if isinstance(fact, PhotoError)]
    if bad:
        more = f" (and {len(bad) - NAMED} more)" if len(bad) > NAMED else ""
        raise PhotoError(f"{len(bad)} of {len(kept)} photos cannot be used{more}: " + "; ".join(bad[:NAMED]))
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
