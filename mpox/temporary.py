"""Temporary files and folders that name their owner, so that what a killed process leaves behind is removed.

The process that makes one holds a lock (flock) on it for as long as it is needed. A lock ends with its process,
however that ends: a temporary name that can be locked has no owner, and the next command that works beside it removes
it.
"""

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock: remains stay there
    fcntl = None  # type: ignore[assignment]

# Endings of names that only this tool gives: hidden files of others that end alike are none of its business.
PART, SCRATCH, LOCK = ".mpox-part", ".mpox-scratch", ".mpox-lock"


@contextlib.contextmanager
def part(folder: Path, name: str) -> Iterator[Path]:
    """Yield a new empty file in `folder` (which is there), in use until the block ends; then removed, unless renamed.

    What killed processes left there is removed first. Raises OSError where it cannot be made.
    """
    sweep(folder)
    with _made(lambda: _file(folder, name)) as path:
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder in `parent` (the system's place for temporary files where None); it is gone afterwards.

    Folders that killed processes left there are removed first. Raises OSError where it cannot be made.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    place.mkdir(parents=True, exist_ok=True)
    sweep(place)
    with _made(lambda: Path(tempfile.mkdtemp(dir=place, prefix=".", suffix=SCRATCH))) as folder:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _made(make: Callable[[], Path]) -> Iterator[Path]:
    """Yield what `make` makes, held by a lock while the block runs; without one where locks are lacking."""
    path = make()
    while (handle := _open(path)) is not None and _lock(handle, wait=True) and not path.exists():
        os.close(handle)  # another process took it for abandoned before it was locked
        path = make()
    try:
        yield path
    finally:
        if handle is not None:
            os.close(handle)


def _file(folder: Path, name: str) -> Path:
    handle, path = tempfile.mkstemp(dir=folder, prefix=f".{name[:100]}.", suffix=PART)
    os.close(handle)
    return Path(path)


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
        if path.is_symlink():
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


def _lock(handle: int, *, wait: bool = False) -> bool:
    """Return whether the lock was taken; false where another process has it, or the file system lacks locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
