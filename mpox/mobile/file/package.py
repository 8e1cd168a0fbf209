"""The folder of an export: written under a temporary name, and renamed once it is complete and has its SHA256SUMS."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from mpox.errors import UserError, reason_of
from mpox.files import replacing, replacing_folder, sha256_of
from mpox.places import check_replaceable, inside

MODEL_FILE, ONNX_FILE = "model.pte", "model.onnx"
# What mends a file of an export that is broken or was changed.
AGAIN = "copy or export it again"
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?P<name>.+)")
SUMS_FILE = "SHA256SUMS"
# What may lie in an export beside what its sums list: them, and what mpox.bench output=<the export> writes.
_OURS = frozenset({SUMS_FILE, "benchmark.json", "benchmark.png", "benchmark.svg"})


@contextlib.contextmanager
def placed(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; give it SHA256SUMS and the name `folder` when the block succeeds.

    A failing block leaves nothing behind, and `folder` unchanged. Raises UserError where it exists and may not be
    overwritten.
    """
    with replacing_folder(folder) as temporary:
        check_free(folder, overwrite=overwrite)
        yield temporary
        write_sums(temporary)
        check_free(folder, overwrite=overwrite)  # another export may have taken the name meanwhile


@contextlib.contextmanager
def updated(folder: Path) -> Iterator[Path]:
    """Yield a copy of an export to be changed; with its sums written again it takes the export's place on success.

    A failing block leaves `folder` as it was. Raises UserError where its files are not those of its sums.
    """
    if changed := changed_files(folder):
        raise UserError(
            f"{folder / changed[0]} is missing or not the file its {SUMS_FILE} was written for: export again"
        )
    with replacing_folder(folder) as temporary:
        shutil.copytree(folder, temporary, dirs_exist_ok=True)
        yield temporary
        write_sums(temporary)


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Raise UserError where `folder` exists and may not be overwritten, or is not wholly an export."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not overwrite:
        raise UserError(f"{folder} exists: give overwrite=true to replace it, or another name=")
    sums = recorded_sums(folder)
    if not {"contract.json", "export.json"} <= sums.keys():
        raise UserError(f"{folder} exists and is no export, so it is not replaced: give another name=")
    check_replaceable(folder, lambda name: name in sums or name in _OURS, "export", "name")


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of every file below `folder` that belongs to the export, as `sha256sum -c` reads it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _OURS)
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    with replacing(folder / SUMS_FILE) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def recorded_sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that the folder's SHA256SUMS lists (the format of `sha256sum`), by name.

    Raises UserError for a file that is cut or of another format.
    """
    path = folder / SUMS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({reason_of(error)}): {AGAIN}") from error
    found = [_LINE.fullmatch(line) for line in lines]
    if None in found:
        raise UserError(f"{path}, line {found.index(None) + 1}, is no SHA-256 and a name: {AGAIN}")
    return {line["name"]: line["digest"] for line in found if line is not None}


def changed_files(folder: Path) -> list[str]:
    """Return the names of the files that the folder's SHA256SUMS lists and that are missing or others now.

    Raises UserError for a name that leads out of the folder.
    """
    sums = recorded_sums(folder)
    files = {name: inside(folder, name, folder / SUMS_FILE) for name in sums}
    return [name for name, digest in sums.items() if not files[name].is_file() or sha256_of(files[name]) != digest]


def check_made_of(folder: Path, checkpoint_sha256: str, run: Path) -> None:
    """Raise UserError where an export, which records the hash of its checkpoint, was not made of the run at `run`."""
    if sha256_of(run / "checkpoint.ckpt") != checkpoint_sha256:
        raise UserError(f"{folder} was not exported from {run}: give the run that its export.json names")
