"""One job of a command: its failure caught, its end noted in the journal, its result said."""

import functools
import gc
import logging
import shlex
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mpox.console import PlainFormatter, accept_every_letter, errors_console, results_console
from mpox.errors import UserError
from mpox.model.weights import NoWeightsError
from mpox.report.tables import result_table
from mpox.runs import journal
from mpox.runs.run_directory import RunDirectory

log = logging.getLogger("mpox")
# A write that failed with less than this left failed for want of space, whatever it says.
FULL_DISK_BYTES = 1_000_000


def one_line(error: BaseException, runs_dir: str) -> str:
    """Return an exception as one line; a UserError says all by itself, a full disk hides behind many names."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    if Path(runs_dir).exists() and shutil.disk_usage(runs_dir).free < FULL_DISK_BYTES:
        return (
            f"the disk of {runs_dir} is full: free some space, or give runs_dir=<folder elsewhere>, and type it again"
        )
    return f"{type(error).__name__}: {text[:300]}"


def say_error(error: Exception, place: str = ".") -> None:
    """Print why a command that writes into `place` ends: one line, and the traceback where its user cannot mend it."""
    if not isinstance(error, UserError | OSError):
        traceback.print_exception(error)
    errors_console().print(f"error: {one_line(error, place)}")


def run_job(cfg: DictConfig, train: Callable[[DictConfig], dict[str, Any]]) -> float | None:
    """Run one job by `train`, note in the journal how it ended, and go on: a failure must not end its sweep.

    Returns the validation balanced accuracy (what a sweeper may optimise), None for a job that failed. Exits where even
    the journal cannot be written.
    """
    quieten()
    _set_imports_aside()
    start = time.perf_counter()
    run = RunDirectory(cfg.runs_dir, cfg.study, cfg.model.name, cfg.fold)
    state, message, result = "done", "", None
    try:
        before = "new" if cfg.overwrite else run.state
        result = train(cfg)
        state = "skipped" if before == "done" else "done"
    except NoWeightsError as error:
        state, message = "no weights", str(error)
    except Exception as error:
        state, message = "failed", one_line(error, cfg.runs_dir)
        trace = run.path / "traceback.txt"
        if not isinstance(error, UserError) and trace.exists():
            message += f" (traceback in {trace})"
    if state != "skipped":
        _release()
    seconds = round(time.perf_counter() - start, 2)
    entry = journal.Entry(cfg.study, cfg.model.name, cfg.fold, state, seconds, message)
    if result is None:
        errors_console().print(f"error: {message}")
    else:
        _say(entry, run, result, cfg.n_folds)
    try:
        journal.append(cfg.runs_dir, entry)
    except OSError as error:
        sys.exit(f"error: cannot write to {cfg.runs_dir} ({error}): mend that and type the command again")
    return None if result is None else result["val"]["balanced_accuracy"]


def _say(entry: journal.Entry, run: RunDirectory, result: dict[str, Any], n_folds: int) -> None:
    """Print one line in a sweep; for a single job the table and the command that would train the rest."""
    console = results_console()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        accuracy = result["test"]["balanced_accuracy"]
        name = f"{entry.model} fold {entry.fold}"
        console.print(f"{name}: {entry.state} in {entry.seconds:.1f} s, balanced accuracy {accuracy:.3f}")
        return
    console.print(result_table(result, f"{entry.study}: {entry.model}, fold {entry.fold} ({entry.state})"))
    overrides = [text for text in HydraConfig.get().overrides.task if not text.startswith(("model=", "fold="))]
    command = ["python", "-m", "mpox.train", "-m", *map(shlex.quote, overrides)]
    console.print(f"{run.path} holds the run. Every CNN on every fold, this one kept:")
    console.print(f"  {' '.join(command)} 'model=glob(*)' 'fold=range({n_folds})'")


@functools.cache
def _set_imports_aside() -> None:
    """Keep the garbage collector out of what stays for the life of the process: thousands of modules, each job."""
    gc.collect()
    gc.freeze()


def _release() -> None:
    """Free what the job held, its traceback's frames included, before the next one of the sweep begins."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def quieten() -> None:
    """Send the project's log to the terminal and silence what Lightning says to everyone every time."""
    accept_every_letter()
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(PlainFormatter("%(levelname)s: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    for text in (".*does not have many workers.*", ".*Checkpoint directory .* exists.*", ".*LeafSpec.*"):
        warnings.filterwarnings("ignore", text)
