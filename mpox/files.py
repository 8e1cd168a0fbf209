"""Writing files and folders atomically, and reading them with their name in the error."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from mpox.errors import UserError
from mpox.locks import HeldError, locked
from mpox.temporary import part

# The C version, where PyYAML was built with it, reads ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds, delete it when it fails.

    The rename is atomic on one file system, so `path` holds either its old content or all of the new. The parent
    folder is made where it is missing. Raises OSError (a full disk, no permission) with `path` untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with part(path.parent, path.name) as temporary:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        # A temporary file is private to the user; a shared study must be readable as any other file would be.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, and give it that name when the block succeeds; delete it when it fails.

    What `folder` held is removed only after that. A process that is killed leaves the old folder or the new one, and
    remains that the next call clears away, having put back a folder that was renamed and not yet replaced. Raises
    UserError where another process is writing it.
    """
    new, old = (folder.with_name(f".{folder.name}{ending}") for ending in (".new", ".old"))
    try:
        with locked(folder, wait=False):
            restore_folder(folder)
            new.mkdir(parents=True)
            try:
                yield new
                swap_folder(new, folder, old)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except HeldError as error:
        raise UserError(f"{folder} is being written by another process: wait for it or stop it") from error


def swap_folder(new: Path, folder: Path, old: Path) -> None:
    """Rename `new` to `folder`, what was there to `old` first, which is then removed."""
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Put back what a process killed in `replacing_folder` had renamed, and remove its remains; its lock is held."""
    new, old = (folder.with_name(f".{folder.name}{ending}") for ending in (".new", ".old"))
    if old.exists() and not folder.exists():
        old.rename(folder)
    for remains in (old, new):
        if remains.exists():
            shutil.rmtree(remains)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. NaN is refused (ValueError): JSON has none; write None."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


class Record(dict[str, Any]):
    """An object of a JSON file. Asked by `[…]` for what it lacks, it raises UserError naming the file and the key."""

    def __init__(self, content: Mapping[str, Any], path: Path, fix: str) -> None:
        super().__init__(content)
        self._path, self._fix = path, fix

    def __missing__(self, key: str) -> Any:
        raise UserError(f"{self._path} lacks '{key}': {self._fix}")


def read_json(path: Path) -> Any:
    """Read one JSON file. Raises UserError naming the file where it is not JSON, or cannot be read."""
    return _read_json(path, "restore or delete it", None)


def read_record(path: Path, fix: str = "restore or delete it", **kinds: Any) -> Record:
    """Read one JSON file that holds an object; the objects in it are Records as well.

    `kinds` are the types of values, as `isinstance` takes them; a key that may be missing has None among them. Raises
    UserError naming the file, the key that is missing or of another type, and `fix`.
    """
    content = _read_json(path, fix, lambda found: Record(found, path, fix))
    if not isinstance(content, Record):
        raise UserError(f"{path} holds no JSON object: {fix}")
    for name, kind in kinds.items():
        if not isinstance(content.get(name), kind):
            wrong = "holds another kind of value as" if name in content else "lacks"
            raise UserError(f"{path} {wrong} '{name}': {fix}")
    return content


def _read_json(path: Path, fix: str, hook: Callable[[dict[str, Any]], Any] | None) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_hook=hook)
    # Not JSON, not UTF-8; missing, no permission, a disk that fails; lists in lists without end.
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({_why(error)}): {fix}") from error


def read_yaml(path: Path, fix: str = "restore it, or make it again") -> dict[str, Any]:
    """Read one YAML file that holds a mapping. Raises UserError naming the file, and `fix`, where it does not."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except (ValueError, OSError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not valid YAML ({_why(error)}): {fix}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is empty or cut: {fix}")
    return content


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
