"""One model on one fold on disk: the third of the four files, and the contract every later stage reads.

runs/<study>/<model>/fold-<k>/
    config.yaml           resolved, written first
    checkpoint.ckpt       tensors and plain values, loads with weights_only=True
    predictions.parquet   one row a validation or test photo, one logit column a class
    metrics.json          of both
    environment.json      versions, device, seed, split hash, timings, peak memory
    train.log             what was said; traceback.txt where it failed
    resume/               checkpoints of a run in progress; gone when it is done
    status.json           written last: running, failed or done
"""

import contextlib
import datetime
import logging
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from mpox.errors import UserError
from mpox.files import read_json, replacing, write_json

# Configuration that changes where or how fast a run goes, not what comes out of it: a run may be resumed under another.
NOT_COMPARED = frozenset(
    [
        *("runs_dir", "cache_dir", "overwrite", "threads", "num_workers", "photos_on", "compile", "logger", "splits"),
        *("data.root", "data.cache", "data.manifest", "data.may_miss", "data.follow_links", "weights.path"),
        *(
            "trainer.accelerator",
            "trainer.devices",
            "trainer.strategy",
            "trainer.num_nodes",
            "trainer.use_distributed_sampler",
        ),
        *("trainer.enable_progress_bar", "trainer.enable_model_summary"),
    ]
)
# Modules that moved after runs had named them in their configuration.
_MOVED = {
    "mpox.callbacks.average.": "mpox.training.average.",
    "mpox.callbacks.explain.": "mpox.training.explain_hook.",
    "mpox.callbacks.export.": "mpox.training.export_hook.",
}
# The C versions, where PyYAML was built with them, do the same ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# How many differences a refusal shows before it counts the rest.
SHOWN = 6
_MISSING = "(not set)"


class RunDirectory:
    """Paths, state and lock of one run."""

    def __init__(self, runs_dir: str | Path, study: str, model: str, fold: int) -> None:
        self.study, self.model, self.fold = study, model, fold
        self.path = Path(runs_dir) / study / model / f"fold-{fold}"
        self.resume = self.path / "resume"
        self.last_epoch = self.resume / "last.ckpt"

    @property
    def state(self) -> str:
        """Return `new`, `running` (or broken off), `failed` or `done`."""
        status = self.path / "status.json"
        return str(read_json(status)["state"]) if status.exists() else "new"

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the run's lock. Raises UserError where another process holds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise UserError(f"{self.path} is being written by another process: wait for it or stop it") from error
        try:
            yield
        finally:
            lock.release()

    def is_finished(self, config: Mapping[str, Any]) -> bool:
        """Say whether the run is done, having held `config` against the one it was made with.

        Raises UserError, showing the difference, where another configuration has left something to lose: a result, or
        an epoch to resume from.
        """
        saved = self.path / "config.yaml"
        if not (self.state == "done" or self.last_epoch.exists()):
            return False
        if not saved.exists():
            raise UserError(f"{self.path} holds a result without its config.yaml: restore it, or give overwrite=true")
        if changes := differences(yaml.load(saved.read_text(encoding="utf-8"), LOADER), config):
            more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
            raise UserError(
                f"{self.path} was made with another configuration ({'; '.join(changes[:SHOWN])}{more}): "
                "use another study=, or overwrite=true to replace it"
            )
        return self.state == "done"

    def begin(self, config: Mapping[str, Any], *, overwrite: bool) -> None:
        """Record `config` in a directory that is as an unfinished run of it left it, or else (`overwrite`) empty."""
        if overwrite or not self.last_epoch.exists():
            self._empty()
        with replacing(self.path / "config.yaml") as temporary:
            text = yaml.dump(dict(config), Dumper=DUMPER, sort_keys=False, allow_unicode=True)
            temporary.write_text(text, encoding="utf-8")
        (self.path / "traceback.txt").unlink(missing_ok=True)
        self.write_status("running", pid=os.getpid(), host=socket.gethostname())

    def fail(self, traceback: str, message: str) -> None:
        """Mark the run failed and keep its traceback."""
        with replacing(self.path / "traceback.txt") as temporary:
            temporary.write_text(traceback, encoding="utf-8")
        self.write_status("failed", error=message)

    def write_status(self, state: str, **facts: Any) -> None:
        """Write status.json: the state, when, of which run, and `facts`."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        status = {"state": state, "study": self.study, "model": self.model, "fold": self.fold, "at": now, **facts}
        write_json(self.path / "status.json", status)

    def finish(self, **facts: Any) -> None:
        """Mark the run done and drop what only a restart would have needed."""
        self.write_status("done", **facts)
        shutil.rmtree(self.resume, ignore_errors=True)

    @contextlib.contextmanager
    def logging_to_file(self) -> Iterator[None]:
        """Copy the project's log to train.log (appended: a resumed run keeps its history)."""
        handler = logging.FileHandler(self.path / "train.log", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        loggers = [logging.getLogger(name) for name in ("mpox", "lightning", "py.warnings")]
        loggers[0].setLevel(logging.INFO)
        for logger in loggers:
            logger.addHandler(handler)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeHandler(handler)
            handler.close()

    def _empty(self) -> None:
        for entry in self.path.iterdir():
            if entry.name == ".lock":
                continue
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return `key: old -> new` for each compared leaf that differs, sorted by key; one that is not there is null."""
    before, after = _with_moved_targets(leaves(old)), leaves(new)
    changed = []
    for key in sorted(before.keys() | after.keys()):
        parents = {key.rsplit(".", n)[0] for n in range(key.count(".") + 1)} | {key}
        if not parents & NOT_COMPARED and before.get(key) != after.get(key):
            changed.append(f"{key}: {before.get(key, _MISSING)} -> {after.get(key, _MISSING)}")
    return changed


def _with_moved_targets(values: dict[str, Any]) -> dict[str, Any]:
    """Name the classes of an older configuration by the modules that hold them now."""
    for key, value in values.items():
        if key.endswith("_target_"):
            for old, new in _MOVED.items():
                if str(value).startswith(old):
                    values[key] = new + str(value).removeprefix(old)
    return values


def leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested configuration as one dictionary of dotted keys; an empty mapping stays a value."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
