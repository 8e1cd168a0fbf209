"""How the jobs of this command ended, and `<runs_dir>/journal.jsonl`, a log of all jobs for people.

A command relies on the results of its own processes, never on the file, to which others write, too.
"""

import contextlib
import errno
import getpass
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger(__name__)
# Done now, skipped because done before, left out for lack of weights, failed, stopped by a signal.
STATES = ("done", "skipped", "no weights", "failed", "interrupted")


@dataclass(frozen=True)
class Entry:
    """How one job ended; `seconds` of wall time, `message` one line for a job that did not succeed.

    `score`: the balanced accuracy of its test photos (0..1), None without a result.
    """

    study: str
    model: str
    fold: int | str
    state: str
    seconds: float
    message: str = ""
    score: float | None = None


_ended: list[Entry] = []


def begin() -> None:
    """Forget the jobs that ended in this process: a command, or a job in a process of its own, begins."""
    _ended.clear()


def ended() -> tuple[Entry, ...]:
    """Return how the jobs of this command ended, in the order in which they did."""
    return tuple(_ended)


def take_over(entries: Iterable[Entry]) -> None:
    """Add the jobs that ended, and were noted, in another process of this command."""
    _ended.extend(entries)


def note(runs_dir: str | Path, entry: Entry) -> None:
    """Add a job that ended here, and a line to the journal; failing to write it is a warning."""
    _ended.append(entry)
    try:
        append(runs_dir, entry)
    except OSError as error:
        log.warning("%s cannot be written (%s): the job is not noted there", journal_path(runs_dir), error.strerror)


def journal_path(runs_dir: str | Path) -> Path:
    """Return where the journal of a runs directory is."""
    return Path(runs_dir) / "journal.jsonl"


def append(runs_dir: str | Path, entry: Entry) -> None:
    """Add one line in one write, so that jobs of several processes do not mix within a line.

    Where the journal belongs to another user, the line goes to `journal-<user>.jsonl` beside it. Raises OSError.
    """
    path = journal_path(runs_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(entry), ensure_ascii=False) + "\n"
    try:
        _write(path, line.encode())
    except PermissionError:
        _write(path.with_name(f"journal-{_user()}.jsonl"), line.encode())


def size(runs_dir: str | Path) -> int:
    """Return the journal's present length in bytes."""
    path = journal_path(runs_dir)
    return path.stat().st_size if path.exists() else 0


def read(runs_dir: str | Path) -> list[Entry]:
    """Return the entries of the journal in the order in which the jobs ended; lines that are broken are left out."""
    path = journal_path(runs_dir)
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError, TypeError):
            found.append(Entry(**json.loads(line)))
    return found


def _write(path: Path, line: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        if os.write(handle, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(handle)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        return str(os.getuid())
