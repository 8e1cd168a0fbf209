"""Cached results: with a checksum, computed again when damaged; a cache that cannot be written is only a warning."""

import contextlib
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mpox.errors import reason_of
from mpox.files import replacing, sha256_of
from mpox.locks import locked

log = logging.getLogger(__name__)
Value = TypeVar("Value")


def kept(
    path: Path, make: Callable[[], Value], save: Callable[[Value, Path], None], load: Callable[[Path], Value]
) -> Value:
    """Return what `load` reads from `path`; `make` and `save` write it first unless it is there and intact.

    Of several processes one makes it, the others wait. Its SHA-256 is beside it (`<stem>.sha256`) and is checked when a
    process reads it first; a file that differs is made again, with a warning. A cache that cannot be written (another
    user's, a full disk) is a warning too: the value is then computed and not kept. Raises what `make` does.
    """
    if is_sound(path):
        return load(path)
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(locked(path))
        except OSError as error:
            warn_not_kept(path, error)
            return make()
        if is_sound(path):
            return load(path)
        if path.exists():
            log.warning("%s is damaged or has no checksum: it is made again", path)
        value = make()
        try:
            with replacing(path) as temporary:
                save(value, temporary)
                write_checksum(path, sha256_of(temporary))
        except (OSError, RuntimeError) as error:  # RuntimeError: what PyTorch calls a full disk
            warn_not_kept(path, error)
            return value
    return load(path)


def built(path: Path, write: Callable[[Path], str]) -> None:
    """Have `write` make the file at `path`, unless it is there and intact; for what is written as it is computed.

    `write` is given a temporary name and returns the SHA-256 of what it wrote there. Locking, checking and warning are
    those of `kept`. Raises OSError where the cache cannot be written, and what `write` does.
    """
    if is_sound(path):
        return
    with locked(path):
        if is_sound(path):
            return
        if path.exists():
            log.warning("%s is damaged or has no checksum: it is made again", path)
        with replacing(path) as temporary:
            write_checksum(path, write(temporary))


def is_sound(path: Path) -> bool:
    """Return whether a cached file is intact: by its checksum once a process, then by size and time."""
    try:
        facts = path.stat()
        return _checksum(path, facts.st_size, facts.st_mtime_ns) == path.with_suffix(".sha256").read_text().strip()
    except (OSError, ValueError):
        return False


def write_checksum(path: Path, checksum: str) -> None:
    """Write the checksum of the file that is about to be renamed to `path`."""
    with replacing(path.with_suffix(".sha256")) as beside:
        beside.write_text(checksum + "\n")


def warn_not_kept(path: Path, error: Exception) -> None:
    """Warn that a cache could not be written, once a process and folder."""
    _warn_once(path.parent, reason_of(error))


@functools.lru_cache(maxsize=1024)
def _warn_once(folder: Path, why: str) -> None:
    log.warning("%s cannot be written (%s): what is computed is not kept for the next command", folder, why)


@functools.lru_cache(maxsize=256)
def _checksum(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)
