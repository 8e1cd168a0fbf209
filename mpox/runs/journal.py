"""`<runs_dir>/journal.jsonl`: one line a job that ended, whatever process ran it; the report of a sweep reads it."""

import errno
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

# Done now, skipped because done before, left out for want of weights, failed, stopped by a signal.
STATES = ("done", "skipped", "no weights", "failed", "interrupted")


@dataclass(frozen=True)
class Entry:
    """How one job ended; `seconds` of wall time, `message` one line for a job that did not succeed.

    `score`: the balanced accuracy of its test photos (0..1), None without a result.
    """

    study: str
    model: str
    fold: int
    state: str
    seconds: float
    message: str = ""
    score: float | None = None


def journal_path(runs_dir: str | Path) -> Path:
    """Return where the journal of a runs directory lies."""
    return Path(runs_dir) / "journal.jsonl"


def append(runs_dir: str | Path, entry: Entry) -> None:
    """Add one line in one write, so that jobs of several processes do not mix within a line."""
    path = journal_path(runs_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(entry), ensure_ascii=False) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        if os.write(handle, line.encode()) < len(line.encode()):
            raise OSError(errno.ENOSPC, "the disk is full", str(path))
    finally:
        os.close(handle)


def size(runs_dir: str | Path) -> int:
    """Return the journal's present length in bytes: where the entries of what starts now will begin."""
    path = journal_path(runs_dir)
    return path.stat().st_size if path.exists() else 0


def read(runs_dir: str | Path, start: int = 0) -> list[Entry]:
    """Return the entries from byte `start` on, in the order in which the jobs ended."""
    path = journal_path(runs_dir)
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(start)
        return [Entry(**json.loads(line)) for line in file.read().decode().splitlines() if line]
