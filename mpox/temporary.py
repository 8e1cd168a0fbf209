"""Temporary files and folders that name their owner, so that what a killed process leaves behind is removed.

Whoever makes one holds a lock (flock) on it for as long as it is needed. A lock ends with its process, however that
ends: a temporary name that can be locked belongs to nobody, and the next command that works beside it removes it.
"""

import contextlib
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock: remains stay there
    fcntl = None  # type: ignore[assignment]

# Endings of names that only this tool gives: hidden files of others that end alike are none of its business.
PART, SCRATCH, LOCK = ".mpox-part", ".mpox-scratch", ".mpox-lock"
# Between making a file and locking it lies a moment; what is younger than this many seconds is left alone.
YOUNG_S = 1.0


@contextlib.contextmanager
def owned(path: Path) -> Iterator[None]:
    """Hold the lock that says that a temporary file or folder is in use; nothing where locks are lacking."""
    handle = _open(path)
    try:
        _lock(handle)
        yield
    finally:
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder in `parent` (the system's place for temporary files where None); it is gone afterwards.

    Folders that killed processes left there are removed first. Raises OSError where it cannot be made.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    place.mkdir(parents=True, exist_ok=True)
    sweep(place)
    folder = Path(tempfile.mkdtemp(dir=place, prefix=".", suffix=SCRATCH))
    try:
        with owned(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.lru_cache(maxsize=4096)
def sweep(folder: Path) -> None:
    """Remove what killed processes left in `folder`, once a process: parts of files, scratch folders, locks."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(".") and entry.name.endswith((PART, SCRATCH, LOCK)):
                _remove_abandoned(Path(entry.path))


def _remove_abandoned(path: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - path.lstat().st_mtime < YOUNG_S or path.is_symlink():
            return
        handle = _open(path)
        if handle is None:
            return
        try:
            if _lock(handle):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        finally:
            os.close(handle)


def _open(path: Path) -> int | None:
    """Open a file for a lock, to write where that may be (NFS wants it); None where it cannot be opened."""
    for flags in (os.O_RDWR, os.O_RDONLY):
        with contextlib.suppress(OSError):
            return os.open(path, flags)
    return None


def _lock(handle: int | None) -> bool:
    if fcntl is None or handle is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
