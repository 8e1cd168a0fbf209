"""The state of a run directory: what its status.json says, and whether what lies there is whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpox.data.folds import ALL, Fold
from mpox.errors import UserError
from mpox.files import read_json, read_yaml, sha256_of
from mpox.model.archive import damage_of
from mpox.stats.predictions import read_predictions

CONFIG, CHECKPOINT = "config.yaml", "checkpoint.ckpt"
RESULTS = (CHECKPOINT, "predictions.parquet", "metrics.json", "environment.json")


def state_of(place: Path) -> str:
    """Return the state in a run directory's status.json, `new` without one. UserError where it cannot be read."""
    path = place / "status.json"
    if not path.exists():
        return "new"
    try:
        return str(read_json(path)["state"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} names no state: restore it, or delete it to have the job done again") from error


def fold_of(place: Path) -> Fold | None:
    """Return the fold of a run directory by its name, `all` for the final network; None for any other folder."""
    kind, _, name = place.name.partition("-")
    if kind != "fold" or not (name == ALL or name.isdecimal()):
        return None
    return name if name == ALL else int(name)


def can_resume(place: Path) -> bool:
    """Return whether a run directory holds an epoch to resume from."""
    return any((place / "resume").glob("last*.ckpt"))


def damage(place: Path, results: Sequence[str] = RESULTS) -> str:
    """Return which result of a run that is done is missing, cut or changed and how; empty where all are intact.

    Small files are checked by the hash that was written with them, checkpoints (read when they are used) by
    their size. Runs of releases that noted neither are read.
    """
    status = read_json(place / "status.json") if (place / "status.json").exists() else None
    noted = status.get("files") if isinstance(status, dict) else None
    for name in results:
        path = place / name
        if not path.is_file():
            return f"{name} is gone"
        if not isinstance(noted, dict) or name not in noted:
            if what := _unreadable(path):
                return what
            continue
        size = path.stat().st_size
        if size != noted[name]["bytes"]:
            return f"{name} is {'empty' if not size else 'cut'} ({size} of {noted[name]['bytes']} bytes)"
        if name != CHECKPOINT and sha256_of(path) != noted[name]["sha256"]:
            return f"{name} is not what was written (its SHA-256 differs)"
    return ""


def sha256_noted(place: Path, name: str) -> str | None:
    """Return the SHA-256 of a result of a run: as status.json notes it, else of the file; None where there is none."""
    status = read_json(place / "status.json") if (place / "status.json").exists() else None
    noted = status.get("files") if isinstance(status, dict) else None
    if isinstance(noted, dict) and name in noted:
        return str(noted[name]["sha256"])
    return sha256_of(place / name) if (place / name).is_file() else None


def _unreadable(path: Path) -> str:
    try:
        if path.suffix == ".ckpt":
            return f"{path.name} {what}" if (what := damage_of(path)) else ""
        readers = {".json": read_json, ".yaml": read_yaml, ".parquet": read_predictions}
        readers[path.suffix](path)
    except UserError:
        return f"{path.name} cannot be read"
    return ""


def fingerprint(path: Path) -> dict[str, Any]:
    """Return size and hash of a result, as status.json notes them for `damage`."""
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
