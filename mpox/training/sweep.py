"""The frame around a command: what a sweep will train before it starts, and a table of how every job ended."""

import logging
import math
import os
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
from mpox.model import weights
from mpox.options import expanded
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
# How the processes that run jobs learn how many there are, when they began and where the journal's part of them starts.
VARIABLE = "MPOX_SWEEP"


@dataclass(frozen=True)
class Progress:
    """A sweep under way: number of jobs (0: not known), when it began (Unix time, s), its first byte of the journal."""

    jobs: int
    began: float
    start: int

    @classmethod
    def of_environment(cls) -> "Progress | None":
        """Return what the process that started the sweep left in the environment."""
        parts = os.environ.get(VARIABLE, "").split()
        return cls(int(parts[0]), float(parts[1]), int(parts[2])) if len(parts) == 3 else None

    def leave(self) -> None:
        """Leave it to the processes that are started from here on."""
        os.environ[VARIABLE] = f"{self.jobs} {self.began} {self.start}"

    def left(self, ended: Sequence[journal.Entry]) -> str:
        """Return an estimate of the time that is left, from the jobs that had something to do; empty where unknown."""
        worked = sum(entry.state != "skipped" for entry in ended)
        remaining = self.jobs - len(ended)
        if not worked or remaining <= 0:
            return ""
        return f"; about {_duration((time.time() - self.began) / worked * remaining)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


class StudyReport(Callback):
    """Hydra callback of `mpox.train`: runs in the process that was started, wherever the launcher runs the jobs.

    Ends the process with exit code 1 where a job failed: Hydra swallows a callback's exceptions, but not SystemExit.
    """

    def __init__(self) -> None:
        self.start = 0

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Remember where the journal ends."""
        self.start = journal.size(_runs_dir(config))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Remember where the journal ends and say which models of the sweep have no weights, before anything trains."""
        self.start = journal.size(_runs_dir(config))
        Progress(number_of_jobs(config), time.time(), self.start).leave()
        say_which_lack_weights(config)

    def on_run_end(self, config: DictConfig, **facts: Any) -> None:
        """End with 1 where the job failed; what it raised, Hydra raises."""
        if facts["job_return"].status is not JobStatus.FAILED:
            _judge(journal.read(_runs_dir(config), self.start))

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print the table of models and folds; end with 1 where a job failed."""
        entries = journal.read(_runs_dir(config), self.start)
        if entries:
            results_console(soft_wrap=False).print(table(entries))
        for entry in entries:
            if entry.state == "failed":
                console = results_console()
                console.print("[red]failed[/]", end=" ", markup=True)
                console.print(f"{entry.model} fold {entry.fold}: {entry.message}")
        _judge(entries)


def _judge(entries: Sequence[journal.Entry]) -> None:
    """Exit with 1 where a job failed. Jobs that did not even note their end have not succeeded."""
    if not entries or any(entry.state not in ("done", "skipped") for entry in entries):
        raise SystemExit(1)


def _runs_dir(config: DictConfig) -> str:
    """Where runs go; Hydra hands its callbacks a configuration that nobody has settled."""
    return expanded(str(config.runs_dir))


def table(entries: Sequence[journal.Entry]) -> Table:
    """Return one row a model, one column a fold, and the wall time of the row's jobs; the caption counts the states."""
    folds = sorted({entry.fold for entry in entries})
    states = Counter(entry.state for entry in entries)
    view = Table(
        title=f"study {shown(', '.join(sorted({entry.study for entry in entries})))}: models by folds",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        caption=", ".join(f"{MARKS[state]} {n} {MEANINGS[state]}" for state in MARKS if (n := states[state])),
    )
    view.add_column("model", overflow="fold")  # of a narrow terminal the names give way, not the figures
    for fold in folds:
        view.add_column(str(fold), justify="center", no_wrap=True)
    view.add_column("score", justify="right", no_wrap=True)
    view.add_column("seconds", justify="right", no_wrap=True)
    several = len({entry.study for entry in entries}) > 1
    for study, model in dict.fromkeys((entry.study, entry.model) for entry in entries):
        mine = {entry.fold: entry for entry in entries if (entry.study, entry.model) == (study, model)}
        cells = [MARKS[mine[fold].state] if fold in mine else "" for fold in folds]
        name = f"{study}/{model}" if several else model
        scores = [entry.score for entry in mine.values() if entry.score is not None]
        score = f"{sum(scores) / len(scores):.3f}" if scores else "-"
        view.add_row(shown(name), *cells, score, f"{sum(entry.seconds for entry in mine.values()):.0f}")
    return view


def number_of_jobs(config: DictConfig) -> int:
    """Return how many jobs a multirun's `config` asks of Hydra's basic sweeper, 0 where another sweeper decides."""
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
    """The files of a group that a glob means; none for any other value."""
    value = override.value()
    if not isinstance(value, Glob):
        return []
    return value.filter(sorted(_files(config, override.key_or_group)))


def _files(config: DictConfig, group: str) -> dict[str, Path]:
    sources = [source.path for source in config.hydra.runtime.config_sources if source.schema == "file"]
    return {file.stem: file for source in reversed(sources) for file in sorted(Path(source).glob(f"{group}/*.yaml"))}


def say_which_lack_weights(config: DictConfig) -> None:
    """Log one line naming the sweep's models for which no weights can be had; nothing where all have theirs."""
    models, lacking, why = swept_models(config), [], ""
    for name, timm_name in models.items():
        try:
            weights.find(timm_name, config.weights.source, config.weights.path)
        except weights.NoWeightsError as error:
            lacking.append(name)
            why = str(error)
    if lacking:
        log.warning(
            "%d of %d models have no weights and are left out: %s", len(lacking), len(models), ", ".join(lacking)
        )
        log.warning("for example %s", why)
