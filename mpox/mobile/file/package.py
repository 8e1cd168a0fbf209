"""The folder of an export: written under a temporary name, and renamed once it is complete and has its SHA256SUMS."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mpox.errors import UserError
from mpox.files import replacing, sha256_of

MODEL_FILE, ONNX_FILE = "model.pte", "model.onnx"
SUMS_FILE = "SHA256SUMS"


@contextlib.contextmanager
def placed(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; give it SHA256SUMS and the name `folder` when the block succeeds.

    A failing block leaves nothing behind, and `folder` unchanged. Raises UserError where it exists and may not be
    overwritten.
    """
    check_free(folder, overwrite=overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield temporary
        write_sums(temporary)
        temporary.chmod(0o755)
        check_free(folder, overwrite=overwrite)  # another export may have taken the name meanwhile
        if folder.exists():
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
            folder.rename(old / folder.name)
            temporary.rename(folder)
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Raise UserError where `folder` exists and may not be overwritten."""
    if folder.exists() and not overwrite:
        raise UserError(f"{folder} exists: give overwrite=true to replace it, or another name=")


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of every file below `folder`, as `sha256sum -c` reads it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS_FILE)
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    with replacing(folder / SUMS_FILE) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def recorded_sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that the folder's SHA256SUMS lists (the format of `sha256sum`), by name."""
    path = folder / SUMS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
