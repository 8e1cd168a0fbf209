"""Writing files so that a reader never sees half of one."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from mpox.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds, delete it when it fails.

    The rename is atomic on one file system, so `path` holds either its old content or all of the new. The parent
    folder is made where it is missing. Raises OSError (a full disk, no permission) with `path` untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        # mkstemp makes files private to the user; a shared study must be readable as any other file would be.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def made_once(path: Path, make: Callable[[Path], None]) -> Path:
    """Have `make` write `path`, given a temporary name, unless it is there; of several processes one does.

    The others wait for it, by a lock beside it. Returns `path`. Raises what `make` and `replacing` do.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                with replacing(path) as temporary:
                    make(temporary)
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. NaN is refused (ValueError): JSON has none; write None."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read one JSON file. Raises UserError naming the file where it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON ({error}): restore or delete it") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
