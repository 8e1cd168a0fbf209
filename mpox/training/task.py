"""What Hydra runs for each job of `mpox.train`: failures are caught, the end is noted, the result printed."""

import functools
import gc
import logging
import time
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mpox.command_line import command
from mpox.config import settled
from mpox.console import errors_console, quieten, results_console
from mpox.errors import Stopped, UserError, one_line
from mpox.model.weights import NoWeightsError
from mpox.report.tables import result_table
from mpox.runs import journal
from mpox.runs.run_directory import RunDirectory
from mpox.training.job import train
from mpox.training.sweep import Progress

log = logging.getLogger("mpox")


def task(cfg: DictConfig) -> float | None:
    """Run one job, note in the journal how it ended, and go on: a failure must not end its sweep.

    Returns the validation balanced accuracy (what a sweeper may optimise), None for a job that failed. Raises UserError
    where even the journal cannot be written, Stopped where a signal ends the process.
    """
    quieten()
    _set_imports_aside()
    cfg = settled(cfg, "train")
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
    except Stopped as stopped:
        _note(cfg, _entry(cfg, "interrupted", start, f"stopped by {stopped.name}", None))
        raise
    if state != "skipped":
        _release()
    entry = _entry(cfg, state, start, message, result)
    _note(cfg, entry)
    if result is None:
        errors_console().print(f"error: {message}")
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        _print_progress(cfg, entry)
    elif result is not None:
        _print_result(cfg, entry, run, result)
    return None if result is None else result["val"]["balanced_accuracy"]


def _entry(cfg: DictConfig, state: str, start: float, message: str, result: dict[str, Any] | None) -> journal.Entry:
    seconds = round(time.perf_counter() - start, 2)
    score = None if result is None else result["test"]["balanced_accuracy"]
    return journal.Entry(cfg.study, cfg.model.name, cfg.fold, state, seconds, message, score)


def _note(cfg: DictConfig, entry: journal.Entry) -> None:
    try:
        journal.append(cfg.runs_dir, entry)
    except OSError as error:
        raise UserError(f"cannot write to {cfg.runs_dir} ({error}): fix that and type the command again") from error


def _print_progress(cfg: DictConfig, entry: journal.Entry) -> None:
    """Print one line: which job of how many has ended, how, and about how long the others will take."""
    progress = Progress.of_environment()
    ended = journal.read(cfg.runs_dir, progress.start) if progress else []
    score = "" if entry.score is None else f", balanced accuracy {entry.score:.3f}"
    where = f"job {len(ended)} of {progress.jobs}, " if progress and progress.jobs else ""
    left = progress.left(ended) if progress else ""
    results_console().print(
        f"{where}{entry.model} fold {entry.fold}: {entry.state} in {entry.seconds:.1f} s{score}{left}"
    )


def _print_result(cfg: DictConfig, entry: journal.Entry, run: RunDirectory, result: dict[str, Any]) -> None:
    """Print the table and the command that would train the rest."""
    console = results_console()
    console.print(result_table(result, f"{entry.study}: {entry.model}, fold {entry.fold} ({entry.state})"))
    given = [text for text in HydraConfig.get().overrides.task if not text.startswith(("model=", "fold="))]
    console.print(f"{run.path} holds the run. Every CNN on every fold, this one kept:")
    console.print(f"  {command('mpox.train', '-m', *given, 'model=glob(*)', f'fold=range({cfg.n_folds})')}")


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
