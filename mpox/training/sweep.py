"""Start and end of a sweep: which models have no weights, the time that remains, and a table of all jobs."""

import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.core.utils import JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich import box
from rich.table import Table

from mpox.console import results_console, shown
from mpox.data.folds import ALL
from mpox.errors import NoWeightsError
from mpox.runs import journal

log = logging.getLogger(__name__)
# One character a job: ten folds and the longest model name fit a terminal of 80 columns.
MARKS = {
    "done": "[green]✓[/]",
    "skipped": "[dim]·[/]",
    "no weights": "[yellow]w[/]",
    "failed": "[red]✗[/]",
    "interrupted": "[yellow]![/]",
}
MEANINGS = {
    "done": "done",
    "skipped": "done before",
    "no weights": "no weights",
    "failed": "failed",
    "interrupted": "stopped",
}


@dataclass(frozen=True)
class SweepProgress:
    """A running sweep: number of jobs (0: unknown), start (Unix time, s)."""

    jobs: int
    began: float

    def remaining_time(self, ended: Sequence[journal.Entry]) -> str:
        """Return an estimate of the remaining time, from the jobs that trained; empty where unknown."""
        worked = sum(entry.state != "skipped" for entry in ended)
        remaining = self.jobs - len(ended)
        if not worked or remaining <= 0:
            return ""
        return f"; about {_duration((time.time() - self.began) / worked * remaining)} left"


# The sweep that this process started; None in the processes that a launcher starts for its jobs.
_current: SweepProgress | None = None


def print_progress(entry: journal.Entry) -> None:
    """Print one line: number and state of the job that ended, and an estimate of the remaining time.

    Nothing in a process that a launcher started: there the one that started it prints.
    """
    if _current is None:
        return
    ended = journal.ended()
    score = "" if entry.score is None else f", balanced accuracy {entry.score:.3f}"
    where = f"job {len(ended)} of {_current.jobs}, " if _current.jobs else ""
    remaining = _current.remaining_time(ended)
    results_console().print(
        f"{where}{entry.model} fold {entry.fold}: {entry.state} in {entry.seconds:.1f} s{score}{remaining}"
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


class StudyReport(Callback):
    """Hydra callback of `mpox.train`: runs in the starting process, wherever the launcher runs the jobs.

    Ends the process with exit code 1 where a job failed: Hydra swallows a callback's exceptions, but not SystemExit.
    """

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Begin to note how jobs end."""
        journal.begin()

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Begin to note how jobs end, and say which models of the sweep have no weights, before anything trains."""
        global _current
        journal.begin()
        _current = SweepProgress(number_of_jobs(config), time.time())
        warn_of_missing_weights(config)

    def on_run_end(self, config: DictConfig, **facts: Any) -> None:
        """Exit with 1 where the job failed; an exception of the job is raised by Hydra."""
        if facts["job_return"].status is not JobStatus.FAILED:
            _exit_if_failed(journal.ended())

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print the table of models and folds; end with 1 where a job failed."""
        entries = journal.ended()
        if entries:
            results_console(soft_wrap=False).print(table(entries))
        for entry in entries:
            if entry.state == "failed":
                console = results_console()
                console.print("[red]failed[/]", end=" ", markup=True)
                console.print(f"{entry.model} fold {entry.fold}: {entry.message}")
        _exit_if_failed(entries)


def _exit_if_failed(entries: Sequence[journal.Entry]) -> None:
    """Exit with 1 where a job failed, or where no job recorded its end."""
    if not entries or any(entry.state not in ("done", "skipped") for entry in entries):
        raise SystemExit(1)


def table(entries: Sequence[journal.Entry]) -> Table:
    """Return one row a model, one column a fold, and the wall time of the row's jobs; the caption counts the states."""
    folds = sorted({entry.fold for entry in entries}, key=lambda fold: (fold == ALL, fold))
    states = Counter(entry.state for entry in entries)
    view = Table(
        title=f"study {shown(', '.join(sorted({entry.study for entry in entries})))}: models by folds",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        caption=", ".join(f"{MARKS[state]} {n} {MEANINGS[state]}" for state in MARKS if (n := states[state])),
    )
    view.add_column("model", overflow="fold")  # on a narrow terminal names are wrapped, figures are not
    for fold in folds:
        view.add_column(str(fold), justify="center", no_wrap=True)
    view.add_column("score", justify="right", no_wrap=True)
    view.add_column("seconds", justify="right", no_wrap=True)
    several = len({entry.study for entry in entries}) > 1
    for study, model in dict.fromkeys((entry.study, entry.model) for entry in entries):
        by_fold = {entry.fold: entry for entry in entries if (entry.study, entry.model) == (study, model)}
        marks = [MARKS[by_fold[fold].state] if fold in by_fold else "" for fold in folds]
        name = f"{study}/{model}" if several else model
        scores = [entry.score for entry in by_fold.values() if entry.score is not None]
        score = f"{sum(scores) / len(scores):.3f}" if scores else "-"
        view.add_row(shown(name), *marks, score, f"{sum(entry.seconds for entry in by_fold.values()):.0f}")
    return view


def number_of_jobs(config: DictConfig) -> int:
    """Return how many jobs Hydra's basic sweeper runs for a multirun's `config`; 0 where another sweeper decides."""
    if not str(config.hydra.sweeper._target_).endswith("BasicSweeper"):
        return 0
    counts = [
        len(_glob(config, override) or list(override.sweep_string_iterator()))
        for override in _overrides(config)
        if override.is_sweep_override()
    ]
    return math.prod(counts)


def swept_models(config: DictConfig) -> dict[str, str]:
    """Return name and timm name of each model that a multirun's `config` sweeps over, in order."""
    files = _files(config, "model")
    names = [str(config.model.name)]
    for override in _overrides(config):
        if override.key_or_group == "model" and override.is_sweep_override():
            names = _glob(config, override) or list(override.sweep_string_iterator())
    return {name: OmegaConf.load(files[name]).timm_name for name in names if name in files}


def _overrides(config: DictConfig) -> list[Override]:
    """The overrides as Hydra's basic sweeper reads them: those of `hydra.sweeper.params`, then the command line's."""
    params = config.hydra.sweeper.get("params") or {}
    texts = [f"{key}={value}" for key, value in params.items()] + list(config.hydra.overrides.task)
    last = {override.key_or_group: override for override in OverridesParser.create().parse_overrides(texts)}
    return list(last.values())


def _glob(config: DictConfig, override: Override) -> list[str]:
    """The files of a group that match a glob; none for any other value."""
    value = override.value()
    if not isinstance(value, Glob):
        return []
    return value.filter(sorted(_files(config, override.key_or_group)))


def _files(config: DictConfig, group: str) -> dict[str, Path]:
    sources = [source.path for source in config.hydra.runtime.config_sources if source.schema == "file"]
    return {file.stem: file for source in reversed(sources) for file in sorted(Path(source).glob(f"{group}/*.yaml"))}


def warn_of_missing_weights(config: DictConfig) -> None:
    """Log a warning with the sweep's models for which no weights are available; nothing where all have them."""
    from mpox.model.weights import find  # timm takes two seconds, which one job that is done need not wait for

    models, missing, reason = swept_models(config), [], ""
    for name, timm_name in models.items():
        try:
            find(timm_name, config.weights.source, config.weights.path)
        except NoWeightsError as error:
            missing.append(name)
            reason = str(error)
    if missing:
        log.warning(
            "%d of %d models have no weights and are left out: %s", len(missing), len(models), ", ".join(missing)
        )
        log.warning("for example %s", reason)
