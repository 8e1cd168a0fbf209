"""The one walk through a folder of photos: what is a photo, and everything else with the reason why it is not.

Training, curation, evaluation, the doctor and predict find photos here, so that what one of them reads all read.
Hidden files and what systems leave in folders are passed over and counted nowhere.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from mpox.console import visible
from mpox.data.names import is_utf8
from mpox.data.photos import SUFFIXES, open_regular
from mpox.places import MARKER

# Files that systems, cameras, network drives and archives put beside photos, in lower case.
SYSTEM = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "__pycache__", "lost+found"),
        *("$recycle.bin", "system volume information", "network trash folder", "temporary items"),
        *("@eadir", "@recycle", "#recycle", "#snapshot", "@__thumb", "picasa.ini", "zbthumbnail.info"),
    }
)
# Pictures of types that are not read: they are reported, never skipped silently.
OTHER_PICTURES = frozenset(
    {
        *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".x3f"),
        *(".psd", ".jxl", ".jxr", ".eps", ".tga", ".ppm", ".pgm", ".pnm", ".dcm", ".dicom", ".xcf"),
        *(".exr", ".bpg", ".raw", ".3fr", ".iiq", ".insp"),
    }
)
# Kinds of reasons (`reason_kind` of the manifest) for which a picture is lost.
UNDECODABLE, UNSUPPORTED = "undecodable", "unsupported_format"
# Files by which folders that this project wrote without its marker are known: studies, runs, exports, audits, releases.
OUTPUTS = (
    *({"manifest.parquet", "splits.json"}, {"config.yaml", "status.json"}, {"journal.jsonl"}, {"comparison.json"}),
    *({"contract.json"}, {"export.json"}, {"audit.json", "manifest.parquet"}, {"croissant.json", "SHA256SUMS"}),
)
# The first bytes of pictures, for files whose ending does not tell.
_BEGINNINGS = {
    b"\xff\xd8\xff": "a JPEG",
    b"\x89PNG\r\n\x1a\n": "a PNG",
    b"GIF8": "a GIF",
    b"II*\0": "a TIFF or raw picture",
    b"MM\0*": "a TIFF or raw picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"8BPS": "a Photoshop picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL",
}
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis"})


@dataclass(frozen=True)
class Other:
    """What lies in the folder and is not read as a photo, and why.

    `lost`: a picture, or a folder (`folder`) that may hold some, that the user expects to be used; its `kind`.
    """

    path: Path
    why: str
    lost: bool = False
    folder: bool = False
    kind: str = UNDECODABLE

    def __str__(self) -> str:
        return f"{visible(str(self.path))} ({self.why})"


@dataclass
class Walk:
    """What a folder holds, paths relative to it.

    `photos` are sorted. `folders` were looked into. `outputs` are folders that this project wrote, with the number of
    pictures in each; they are not looked into for photos. `is_output`: the folder itself is one.
    """

    photos: list[Path] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    outputs: dict[Path, int] = field(default_factory=dict)
    is_output: bool = False


def walk(root: Path, *, follow_links: bool = False) -> Walk:
    """Look through the folder `root` and all folders in it; raises nothing: what cannot be looked into is named.

    Links to photos and folders are followed where they stay below `root`, elsewhere only with `follow_links`. No folder
    is read twice, so loops end.
    """
    walker = _Walker(root, follow_links)
    walker.descend(Path(), walker.real)
    while walker.links:
        walker.follow(walker.links.pop(0))
    walker.found.photos.sort()
    walker.found.others.sort(key=lambda other: other.path)
    return walker.found


def ignored(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or a system's own."""
    return name.startswith(".") or name.casefold() in SYSTEM


def leads_out(path: Path, root: Path) -> bool:
    """Return whether a path, links followed, ends outside the folder `root`."""
    real, inside = os.path.realpath(path), os.path.realpath(root)
    return real != inside and not real.startswith(inside.rstrip(os.sep) + os.sep)


class _Walker:
    def __init__(self, root: Path, follow_links: bool) -> None:
        self.root, self.real, self.follow_links = root, os.path.realpath(root), follow_links
        self.found, self.links, self.seen = Walk(), list[Path](), set[str]()

    def other(self, path: Path, why: str, *, lost: bool = False, folder: bool = False, kind: str = UNDECODABLE) -> None:
        self.found.others.append(Other(path, why, lost, folder, kind))

    def descend(self, top: Path, real: str) -> None:
        """Look through a folder and those in it; links wait in `links` until all real folders are known."""
        waiting = [(top, real)]
        while waiting:
            place, real = waiting.pop()
            if real in self.seen:
                continue
            self.seen.add(real)
            try:
                with os.scandir(self.root / place) as entries:
                    names = sorted(entry.name for entry in entries)
                kinds = {name: os.lstat(self.root / place / name).st_mode for name in names if not ignored(name)}
            except OSError as error:
                self.other(place, f"the folder cannot be read: {error.strerror}", lost=True, folder=True)
                continue
            if MARKER in names or any(marks <= kinds.keys() for marks in OUTPUTS):
                if place == Path():
                    self.found.is_output = True
                else:
                    self.found.outputs[place] = _count_pictures(self.root / place)
                    continue
            self.found.folders.append(place)
            for name, mode in kinds.items():
                if stat.S_ISLNK(mode):
                    self.links.append(place / name)
                elif stat.S_ISDIR(mode):
                    waiting.append((place / name, f"{real.rstrip(os.sep)}{os.sep}{name}"))
                else:
                    self.file(place / name, mode)

    def file(self, path: Path, mode: int) -> None:
        suffix = path.suffix.lower()
        a_picture = suffix in SUFFIXES or suffix in OTHER_PICTURES
        if not is_utf8(str(path)):
            self.other(path, "its name or its folder's is not UTF-8: rename it", lost=a_picture)
        elif not stat.S_ISREG(mode):
            self.other(path, "not a regular file: remove it", lost=a_picture)
        elif suffix in SUFFIXES:
            self.found.photos.append(path)
        elif suffix in OTHER_PICTURES:
            why = f"unsupported format {suffix}: save it again as JPEG or PNG"
            self.other(path, why, lost=True, kind=UNSUPPORTED)
        elif kind := _kind_of(self.root / path):
            self.other(path, f"{kind} whose name does not end like one: rename it", lost=True)
        else:
            self.other(path, f"ending {path.suffix}" if path.suffix else "no ending")

    def follow(self, path: Path) -> None:
        whole = self.root / path
        may_be_missed = path.suffix.lower() in SUFFIXES | OTHER_PICTURES | {""}
        try:
            mode = whole.stat().st_mode
        except OSError as error:
            self.other(path, f"a link that leads nowhere: {error.strerror}", lost=may_be_missed)
            return
        folder = stat.S_ISDIR(mode)
        if leads_out(whole, self.root) and not self.follow_links:
            why = "a link that leads out of the folder: move what it leads to, or give data.follow_links=true"
            self.other(path, why, lost=folder or may_be_missed, folder=folder)
        elif not folder:
            self.file(path, mode)
        elif (real := os.path.realpath(whole)) in self.seen:
            self.other(path, "a link to a folder that is read already", folder=True)
        else:
            self.descend(path, real)


def _kind_of(path: Path) -> str:
    """Return the picture format of a file's first bytes; empty for none, or for a file that cannot be opened."""
    try:
        with open_regular(path) as file:
            start = file.read(16)
    except (OSError, ValueError):
        return ""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "a WebP"
    if start[4:8] == b"ftyp" and start[8:12] in _BRANDS:
        return "a HEIC or AVIF"
    return next((kind for bytes_, kind in _BEGINNINGS.items() if start.startswith(bytes_)), "")


def _count_pictures(folder: Path) -> int:
    return sum(Path(name).suffix.lower() in SUFFIXES for _, _, names in os.walk(folder) for name in names)
