"""One model on one fold on disk: the third of the four files, and the contract every later stage reads.

runs/<study>/<model>/fold-<k>/
    config.yaml           resolved, written first
    checkpoint.ckpt       tensors and plain values, loads with weights_only=True
    predictions.parquet   one row a validation or test photo, one logit column a class
    metrics.json          of both
    environment.json      versions, device, seed, split hash, timings, peak memory
    train.log             the log; traceback.txt where it failed
    resume/               checkpoints of a run in progress; gone when it is done
    status.json           written last: running, interrupted, failed or done, with size and hash of the files above

What replaces a finished run is made in fold-<k>.next/ and takes its place when it is complete.
"""

import contextlib
import datetime
import logging
import os
import shutil
import socket
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mpox.console import PlainFormatter
from mpox.errors import Stopped, UserError, one_line
from mpox.files import read_json, read_yaml, replacing, swap_folder, write_json
from mpox.locks import HeldError, locked
from mpox.runs.differences import differences
from mpox.runs.run_state import CONFIG, RESULTS, can_resume, damage, fingerprint, state_of
from mpox.temporary import LOCK, PART

log = logging.getLogger("mpox")
# The C version, where PyYAML was built with it, writes ten times as fast.
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# What this tool writes into a run directory, loggers and explanations included.
OWN = frozenset(
    [
        *("config.yaml", "checkpoint.ckpt", "predictions.parquet", "metrics.json", "environment.json", "status.json"),
        *("train.log", "traceback.txt", "resume", "explain", "wandb", "tensorboard", "metrics.csv", "hparams.yaml"),
    ]
)
# How many differences a refusal shows before it counts the rest.
SHOWN = 6


class RunDirectory:
    """Paths, state and lock of one run.

    `place` is the run's directory, `path` where it is written: the same, but for a run that replaces a finished one.
    `results` are the files without which it is not finished.
    """

    def __init__(
        self, runs_dir: str | Path, study: str, model: str, fold: int | str, results: Sequence[str] = RESULTS
    ) -> None:
        self.study, self.model, self.fold, self.results = study, model, fold, tuple(results)
        self.place = self.path = Path(runs_dir) / study / model / f"fold-{fold}"
        self._next, self._old = (self.place.with_name(f"{self.place.name}{end}") for end in (".next", ".old"))

    @property
    def resume(self) -> Path:
        """Return the folder of the checkpoints to resume from."""
        return self.path / "resume"

    @property
    def state(self) -> str:
        """Return `new`, `running` (or broken off), `interrupted`, `failed` or `done`."""
        return state_of(self.place)

    @property
    def written(self) -> int | None:
        """Return when status.json was last written (ns since the epoch), None without one: a job that ran writes it."""
        path = self.place / "status.json"
        return path.stat().st_mtime_ns if path.exists() else None

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the run's lock, having finished a replacement that was killed at its last step.

        Raises UserError where another process holds it.
        """
        try:
            with locked(self.place, wait=False):
                self._settle()
                yield
        except HeldError as error:
            shared = ", which is where every command without study= writes" if self.study == "default" else ""
            raise UserError(
                f"{self.place} is being written by another process{shared}: give this one a study=<name> of its own, "
                "or wait for the other and type it again"
            ) from error

    def is_finished(self, config: Mapping[str, Any]) -> bool:
        """Return whether the run is done and intact, having compared `config` with the one it was made with.

        Results that are cut, changed or gone are named in a warning. Raises UserError, showing the difference, where
        another configuration has left something to lose: a result, or an epoch to resume from.
        """
        state = self.state
        if not (state == "done" or can_resume(self.place)):
            return False
        saved = self.place / CONFIG
        if state == "done" and (what := damage(self.place, [CONFIG])):
            raise UserError(f"{self.place}: its {what}: restore it, or give overwrite=true")
        if changes := differences(read_yaml(saved, "restore it, or give overwrite=true"), config):
            more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
            raise UserError(
                f"{self.place} was made with another configuration ({'; '.join(changes[:SHOWN])}{more}): "
                "use another study=, or overwrite=true to replace it"
            )
        if state == "done" and (what := damage(self.place, self.results)):
            log.warning("%s was done, but its %s: it is made again", self.place, what)
            return False
        return state == "done"

    def result(self) -> dict[str, Any]:
        """Return the content of a finished run's metrics.json."""
        found = read_json(self.place / "metrics.json")
        assert isinstance(found, dict)
        return found

    def begin(self, config: Mapping[str, Any], *, overwrite: bool) -> None:
        """Record `config` in a directory that is as an unfinished run of it left it, or else (`overwrite`) empty.

        A finished run stays where it is; what replaces it is written beside it.
        """
        goes_on = can_resume(self.place) and not overwrite
        if self._may_hold_a_result():
            self.path = self._next
            goes_on = can_resume(self.path) and _is_of(self.path / "config.yaml", config)
        self.path.mkdir(parents=True, exist_ok=True)
        if not goes_on:
            self._empty()
        with replacing(self.path / "config.yaml") as temporary:
            text = yaml.dump(dict(config), Dumper=DUMPER, sort_keys=False, allow_unicode=True)
            temporary.write_text(text, encoding="utf-8")
        (self.path / "traceback.txt").unlink(missing_ok=True)
        self.write_status("running", pid=os.getpid(), host=socket.gethostname())

    def fail(self, trace: str, message: str) -> None:
        """Mark the run failed and keep its traceback."""
        with replacing(self.path / "traceback.txt") as temporary:
            temporary.write_text(trace, encoding="utf-8")
        self.write_status("failed", error=message)

    @contextlib.contextmanager
    def attempted(self) -> Iterator[None]:
        """Note in status.json how a block ends that does not succeed: failed, or interrupted by a signal.

        A replacement that fails by a UserError is dropped.
        """
        try:
            yield
        except Stopped as stopped:
            with contextlib.suppress(OSError):
                self.write_status("interrupted", error=f"stopped by {stopped.name}")
            raise
        except Exception as error:
            with contextlib.suppress(OSError):  # a full disk must not hide the first error
                self.fail(traceback.format_exc(), one_line(error, str(self.path)))
            if isinstance(error, UserError):
                self.abandon()
            raise

    def abandon(self) -> None:
        """Drop a replacement that failed; of a run that replaces none, nothing is dropped."""
        if self.path != self.place:
            shutil.rmtree(self.path, ignore_errors=True)
            self.path = self.place

    def write_status(self, state: str, **facts: Any) -> None:
        """Write status.json: the state, when, of which run, and `facts`."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        status = {"state": state, "study": self.study, "model": self.model, "fold": self.fold, "at": now, **facts}
        write_json(self.path / "status.json", status)

    def finish(self, **facts: Any) -> None:
        """Mark the run done, with size and hash of its results; drop what only a restart would have needed."""
        files = {name: fingerprint(self.path / name) for name in (CONFIG, *self.results) if (self.path / name).exists()}
        self.write_status("done", **facts, files=files)
        shutil.rmtree(self.resume, ignore_errors=True)

    def settle(self) -> None:
        """Put a finished replacement in the place of the run it replaces; nothing for any other run."""
        if self.path != self.place:
            self._settle()
            self.path = self.place

    @contextlib.contextmanager
    def logging_to_file(self) -> Iterator[None]:
        """Copy the project's log to train.log (appended: a resumed run keeps its history)."""
        handler = logging.FileHandler(self.path / "train.log", encoding="utf-8")
        handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        handler.handleError = _let_go  # type: ignore[method-assign]
        loggers = [logging.getLogger(name) for name in ("mpox", "lightning", "py.warnings")]
        loggers[0].setLevel(logging.INFO)
        for logger in loggers:
            logger.addHandler(handler)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeHandler(handler)
            with contextlib.suppress(OSError):
                handler.close()

    def _settle(self) -> None:
        """Have a complete replacement take its place, also after a process was killed in doing so; the lock is held."""
        if self._old.exists() and not self.place.exists() and not _is_done(self._next):
            self._old.rename(self.place)
        if self._old.exists() and self.place.exists():
            shutil.rmtree(self._old)
        if _is_done(self._next):
            for entry in self.place.iterdir() if self.place.exists() else ():
                if not _is_own(entry) and not (self._next / entry.name).exists():  # a person's notes go with the run
                    entry.rename(self._next / entry.name)
            swap_folder(self._next, self.place, self._old)
            shutil.rmtree(self._old, ignore_errors=True)

    def _may_hold_a_result(self) -> bool:
        try:
            return self.state == "done"
        except UserError:  # a status that cannot be read tells nothing
            return True

    def _empty(self) -> None:
        """Remove what a run wrote; what a person put beside it stays."""
        for entry in self.path.iterdir():
            if _is_own(entry):
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _is_own(entry: Path) -> bool:
    return entry.name in OWN or (entry.name.startswith(".") and entry.name.endswith((".part", ".lock", PART, LOCK)))


def _is_of(saved: Path, config: Mapping[str, Any]) -> bool:
    try:
        return not differences(read_yaml(saved), config)
    except UserError:  # missing or broken
        return False


def _let_go(record: logging.LogRecord) -> None:
    """A line that cannot be written (a full disk) is lost; the run is not."""


def _is_done(place: Path) -> bool:
    try:
        return state_of(place) == "done"
    except UserError:
        return False
