"""The task of each job of `mpox.train`: it catches failures, records the end and prints the result."""

import functools
import gc
import logging
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mpox.command_line import command
from mpox.config import plain, settled
from mpox.console import errors_console, quieten, results_console
from mpox.data.folds import ALL
from mpox.errors import NoWeightsError, Stopped, UserError, one_line
from mpox.report.tables import result_table
from mpox.runs import journal
from mpox.runs.run_directory import RunDirectory
from mpox.training.finished import finished_result
from mpox.training.sweep import print_progress

log = logging.getLogger("mpox")
# Studies of jobs that were done before, whose photos this process has looked through.
_looked_into: set[Path] = set()


def task(cfg: DictConfig) -> float | None:
    """Run one job and record its end in the journal; a failure does not end the sweep.

    Returns the validation balanced accuracy (the value for a sweeper), None for a job that failed. Raises Stopped where
    a signal ends the process.
    """
    quieten()
    cfg = settled(cfg, "train")
    start = time.perf_counter()
    run = RunDirectory(cfg.runs_dir, cfg.study, cfg.model.name, cfg.fold)
    state, message, result = "done", "", None
    try:
        if cfg.fold == ALL:
            from mpox.training.final import recipe_of_folds  # reads a study, which other jobs do not

            cfg = recipe_of_folds(cfg, HydraConfig.get().overrides.task)
        before = run.written
        if (result := finished_result(cfg)) is None:
            result = _trained(cfg)
        else:
            _look_for_added(cfg)
        state = "skipped" if run.written == before else "done"
    except NoWeightsError as error:
        state, message = "no weights", str(error)
    except Exception as error:
        state, message = "failed", one_line(error, cfg.runs_dir)
        trace = run.path / "traceback.txt"
        if not isinstance(error, UserError) and trace.exists():
            message += f" (traceback in {trace})"
    except Stopped as stopped:
        journal.note(cfg.runs_dir, _entry(cfg, "interrupted", start, f"stopped by {stopped.name}", None))
        raise
    if state != "skipped":
        _release()
    entry = _entry(cfg, state, start, message, result)
    journal.note(cfg.runs_dir, entry)
    if result is None:
        errors_console().print(f"error: {message}")
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        print_progress(entry)
    elif result is not None:
        _print_result(cfg, entry, run, result)
    return None if result is None else _figures(result, "val")["balanced_accuracy"]


def _entry(cfg: DictConfig, state: str, start: float, message: str, result: dict[str, Any] | None) -> journal.Entry:
    seconds = round(time.perf_counter() - start, 2)
    score = None if result is None else _figures(result, "test")["balanced_accuracy"]
    return journal.Entry(cfg.study, cfg.model.name, cfg.fold, state, seconds, message, score)


def _figures(result: dict[str, Any], split: str) -> dict[str, Any]:
    """The figures of a split; of a final network, from which no photo is held out, those of its folds together."""
    found = result.get(split) or result["cross_validated"]
    assert isinstance(found, dict)
    return found


def _print_result(cfg: DictConfig, entry: journal.Entry, run: RunDirectory, result: dict[str, Any]) -> None:
    """Print the table and the command that comes next: the other models and folds, or the export."""
    console = results_console()
    if cfg.fold == ALL:
        console.print(result_table(result, f"{entry.study}: {entry.model}, every photo ({entry.state})"))
        console.print(
            f"No photo is held out from this network: the figures are those of its {cfg.n_folds} folds. Next:"
        )
        console.print(f"  {command('mpox.export', run=run.path)}")
        return
    console.print(result_table(result, f"{entry.study}: {entry.model}, fold {entry.fold} ({entry.state})"))
    given = [text for text in HydraConfig.get().overrides.task if not text.startswith(("model=", "fold="))]
    console.print(f"The run is in {run.path}. Every CNN on every fold, this run kept:")
    console.print(f"  {command('mpox.train', '-m', *given, 'model=glob(*)', f'fold=range({cfg.n_folds})')}")


def _trained(cfg: DictConfig) -> dict[str, Any]:
    """Import what trains, four seconds that a job that is done need not wait for, and run the job."""
    from mpox.training.job import run_job

    _freeze_imports()
    return run_job(cfg)


def _look_for_added(cfg: DictConfig) -> None:
    """Warn, once a study and process, of photos that a study lacks: a person who adds some may type its sweep again."""
    from mpox.runs.preparation import look_for_added

    study = Path(cfg.runs_dir) / cfg.study
    if study not in _looked_into:
        _looked_into.add(study)
        look_for_added(study, plain(cfg.data))


@functools.cache
def _freeze_imports() -> None:
    """Exclude imported modules, which live as long as the process, from the garbage collection after each job."""
    gc.collect()
    gc.freeze()


def _release() -> None:
    """Free the job's memory, with the frames of its traceback, before the sweep's next job begins."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
