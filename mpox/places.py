"""Checks of names that become folders, of paths read from files, and of folders to be written or replaced."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

from mpox.errors import UserError

# Bytes of a folder's name that every usual file system takes, less what a temporary name beside it needs.
LONGEST = 200
# The marker of folders that this tool made, with their purpose: only such a folder is written into again.
MARKER = ".mpox"
# Entries that file browsers add by themselves.
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


def folder_name(option: str, name: object, *, reserved: tuple[str, ...] = ()) -> str:
    """Return a name that is to become one folder, as text. Raises UserError, naming the option, for one that cannot.

    That is one that is empty, hidden, a path, too long, begins or ends with a space, holds control characters, or is
    among `reserved`.
    """
    text = str(name)
    why = _why_no_folder(text)
    if text in reserved:
        why = "has a meaning of its own here"
    if why:
        raise UserError(f"{option}={text or '(empty)'} {why}: give {option}=<one name of letters, digits, - and _>")
    return text


def _why_no_folder(name: str) -> str:
    if not name.strip():
        return "is not a name"
    if "/" in name or "\\" in name:
        return "is a path, not the name of one folder"
    if name.startswith("."):
        return "begins with a dot, as hidden folders do"
    if name != name.strip():
        return "begins or ends with a space"
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        return "holds a control character, or one that is not UTF-8"
    if len(name.encode()) > LONGEST:
        return f"is longer than {LONGEST} bytes"
    return ""


def leaves(path: str) -> bool:
    """Return whether a relative path from a file leads out of the folder it is relative to: absolute, or `..`."""
    windows = PureWindowsPath(path)
    return bool(windows.drive or windows.root) or ".." in PurePosixPath(path.replace("\\", "/")).parts


def inside(folder: Path, path: object, of: object) -> Path:
    """Return `folder`/`path`, a place that the file `of` names. Raises UserError where it leads out of the folder."""
    if leaves(str(path)):
        raise UserError(f"{of} names {path}, which leads out of {folder}: it was not written by this tool, or changed")
    return folder / str(path)


def check_apart(option: str, place: str | Path, root: str | Path | None, *, listed: bool = False) -> None:
    """Raise UserError where what is written into `place` (given as `option`) would land among the photos of `root`.

    In a folder whose folders are its classes that is anywhere below; `listed` photos only share the folder itself.
    """
    if root is None:
        return
    written, photos = Path(place).expanduser().resolve(), Path(root).expanduser().resolve()
    if written == photos or (not listed and photos in written.parents):
        where = "is the folder of the photos" if written == photos else f"lies inside {root}, the folder of the photos"
        raise UserError(
            f"{option}={place} {where}, where it would be taken for photos: give {option}=<a folder elsewhere>"
        )


def claim(folder: Path, what: str, option: str, is_old: Callable[[Path], bool] = lambda folder: False) -> None:
    """Make `folder` and mark it as this tool's for `what`, before the first file is written into it.

    A folder that is marked, empty, or was made before there were marks (`is_old`) is taken. Raises UserError for one
    that holds anything else: files of the same name in it would be lost.
    """
    marker = folder / MARKER
    if marker.is_file():
        if _marked(marker) not in (None, what):
            raise UserError(f"{option}={folder} holds this tool's {_marked(marker)}: give {option}=<another folder>")
        return
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{option}={folder} is a file: give {option}=<a new folder>")
    entries = [path.name for path in folder.iterdir() if path.name not in _LITTER] if folder.exists() else []
    if entries and not is_old(folder):
        raise UserError(
            f"{option}={folder} holds files that this tool did not write ({_some(entries)}): give {option}=<a new or "
            "empty folder>"
        )
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps({"what": what}) + "\n", encoding="utf-8")


def _marked(marker: Path) -> str | None:
    try:
        content = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return str(content.get("what")) if isinstance(content, dict) else None


def check_replaceable(folder: Path, is_ours: Callable[[str], bool], whose: str, option: str | None = None) -> None:
    """Raise UserError unless all that an existing `folder` holds was written by this tool.

    `is_ours` tells of a file's path below it (POSIX) whether this tool wrote it; `whose` is what such a folder is
    called, `option` the option that names it.
    """
    other = f", or give another {option}=" if option else ""
    if not folder.is_dir() or folder.is_symlink():
        raise UserError(f"{folder} exists and is no {whose}, so it is not replaced: move it away{other}")
    found = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    names = sorted(path.relative_to(folder).as_posix() for path in found if path.name not in _LITTER)
    if foreign := [name for name in names if not is_ours(name)]:
        raise UserError(
            f"{folder} holds what this tool did not write ({_some(foreign)}), so it is not replaced: "
            f"move that away{other}"
        )


def _some(names: list[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
