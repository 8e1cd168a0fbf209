"""Are the photos still those that the manifest was made of? By size and times where they were hashed before, else by
hash.

What was hashed is noted in the cache, so that a sweep reads every photo once. A note only saves work: without it,
or where it does not fit, the photo is read.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from mpox.cached import warn_not_kept
from mpox.data.photos import PhotoError
from mpox.files import replacing, sha256_of
from mpox.progress import watched


def changed_photos(frame: pd.DataFrame, root: Path, cache: Path) -> list[str]:
    """Return the paths of kept photos that are missing, or are not the ones that the manifest `frame` was made of.

    `cache` is the folder where it is noted which were found unchanged.
    """
    kept = frame[frame["keep"]]
    note = cache / f"unchanged-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.txt"
    known = _read(note)
    facts = [_facts(root, *row) for row in kept[["path", "sha256", "bytes"]].itertuples(index=False, name=None)]
    doubtful = [
        (path, line, sha256)
        for path, line, sha256 in zip(kept["path"], facts, kept["sha256"], strict=True)
        if line is not None and line not in known
    ]
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda one: _sha256(root / one[0]), doubtful)
        hashes = list(watched(found, f"reading {len(doubtful)} photos", len(doubtful)))
    confirmed = {line for (_, line, sha256), found in zip(doubtful, hashes, strict=True) if found == sha256}
    if confirmed:
        _write(note, known | confirmed)
    return [path for path, line in zip(kept["path"], facts, strict=True) if line not in known | confirmed]


@contextlib.contextmanager
def recorded(path: Path, sha256: str) -> Iterator[None]:
    """Check that a photo is the recorded one before and after the block reads it; PhotoError where it is not.

    What is computed of a photo is kept under the hash of its content: of another content it must never be.
    """
    before = _stat(path)
    if sha256 and before is not None and _sha256(path) != sha256:
        raise PhotoError(f"{path}: not the photo that the manifest was made of: restore it, or start a new study=")
    yield
    if _stat(path) != before:
        raise PhotoError(f"{path}: changed while it was read: type the command again")


def _facts(root: Path, path: str, sha256: str, size: int) -> str | None:
    """One line that is equal only while the photo has not been written to; None where it is gone or resized."""
    stat = _stat(root / path)
    return None if stat is None or stat[0] != size else f"{' '.join(map(str, stat))} {sha256} {path!r}"


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    # The time of the last change to the inode, too: the other one can be set by hand, and copying programs do so.
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _read(note: Path) -> set[str]:
    try:
        return set(note.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return set()


def _write(note: Path, lines: set[str]) -> None:
    try:
        with replacing(note) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in sorted(lines)), encoding="utf-8")
    except OSError as error:
        warn_not_kept(note, error)
