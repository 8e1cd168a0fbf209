"""One process at a time: a lock file beside what it protects, removed when no process holds it."""

import contextlib
import errno
import functools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from mpox.temporary import LOCK, sweep

log = logging.getLogger(__name__)
# What a file system that has no locks answers (NFS without lockd, some FUSE and SMB mounts).
LACKING = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class HeldError(OSError):
    """Another process holds the lock."""


def lock_of(path: Path) -> Path:
    """Return the lock file of a file or a folder: hidden, beside it."""
    return path.with_name(f".{path.name}{LOCK}")


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file or a folder, a hidden file beside it (`lock_of`); their folder is made where missing.

    `wait` false: raises HeldError where another process holds it. On a file system without locks the block runs all the
    same, and a warning says that two commands may write at once. Raises OSError where the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    file = lock_of(path)
    lock = FileLock(file, timeout=-1 if wait else 0, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise HeldError(errno.EAGAIN, "held by another process", str(file)) from error
    except OSError as error:
        if error.errno not in LACKING:
            raise
        with contextlib.suppress(OSError):
            file.unlink()
        _warn_of_no_locks(path.parent, os.strerror(error.errno or 0))
        yield
        return
    try:
        yield
    finally:
        # Removed while it is held: a process that waits for it finds it gone and makes another.
        with contextlib.suppress(OSError):
            file.unlink()
        lock.release()


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock of `path`."""
    if not lock_of(path).exists():
        return False
    try:
        with locked(path, wait=False):
            return False
    except HeldError:
        return True
    except OSError:  # another user's file, which cannot be opened: taken as held by them
        return True


@functools.lru_cache(maxsize=1024)
def _warn_of_no_locks(folder: Path, why: str) -> None:
    log.warning(
        "%s is on a file system without locks (%s): two commands may write there at once, run one at a time",
        folder,
        why,
    )
