"""The frame around a command: what a sweep will train before it starts, and a table of how every job ended."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from mpox.console import results_console, shown
from mpox.model import weights
from mpox.runs import journal

log = logging.getLogger(__name__)
# One character a job: ten folds and the longest model name fit a terminal of 80 columns.
MARKS = {
    "done": "[green]✓[/]",
    "skipped": "[dim]·[/]",
    "no weights": "[yellow]w[/]",
    "failed": "[red]✗[/]",
}
MEANINGS = {"done": "done", "skipped": "done before", "no weights": "no weights", "failed": "failed"}
# What the finished command tells the shell; `main` reads it, since a Hydra callback cannot set the exit code.
exit_code = 0


class StudyReport(Callback):
    """Hydra callback of `mpox.train`: runs in the process that was started, wherever the launcher runs the jobs."""

    def __init__(self) -> None:
        self.start = 0

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Remember where the journal ends; until the end is judged, this has failed."""
        global exit_code
        exit_code = 1
        self.start = journal.size(config.runs_dir)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Remember where the journal ends and say which models of the sweep have no weights, before anything trains."""
        global exit_code
        exit_code = 1
        self.start = journal.size(config.runs_dir)
        say_which_lack_weights(config)

    def on_run_end(self, config: DictConfig, **_: Any) -> None:
        """Set the exit code."""
        self._judge(config)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print the table of models and folds and set the exit code."""
        entries = self._judge(config)
        if entries:
            results_console(soft_wrap=False).print(table(entries))
        for entry in entries:
            if entry.state == "failed":
                console = results_console()
                console.print("[red]failed[/]", end=" ", markup=True)
                console.print(f"{entry.model} fold {entry.fold}: {entry.message}")

    def _judge(self, config: DictConfig) -> list[journal.Entry]:
        global exit_code
        entries = journal.read(config.runs_dir, self.start)
        # Jobs that did not even note their end have not succeeded.
        exit_code = int(not entries or any(entry.state in ("failed", "no weights") for entry in entries))
        return entries


def table(entries: Sequence[journal.Entry]) -> Table:
    """Return one row a model, one column a fold, and the wall time of the row's jobs; the caption counts the states."""
    folds = sorted({entry.fold for entry in entries})
    states = Counter(entry.state for entry in entries)
    view = Table(
        title=f"study {shown(', '.join(sorted({entry.study for entry in entries})))}: models by folds",
        caption=", ".join(f"{MARKS[state]} {n} {MEANINGS[state]}" for state in MARKS if (n := states[state])),
    )
    view.add_column("model", overflow="fold")  # of a narrow terminal the names give way, not the figures
    for fold in folds:
        view.add_column(str(fold), justify="center", no_wrap=True)
    view.add_column("seconds", justify="right", no_wrap=True)
    several = len({entry.study for entry in entries}) > 1
    for study, model in dict.fromkeys((entry.study, entry.model) for entry in entries):
        mine = {entry.fold: entry for entry in entries if (entry.study, entry.model) == (study, model)}
        cells = [MARKS[mine[fold].state] if fold in mine else "" for fold in folds]
        name = f"{study}/{model}" if several else model
        view.add_row(shown(name), *cells, f"{sum(entry.seconds for entry in mine.values()):.0f}")
    return view


def swept_models(config: DictConfig) -> dict[str, str]:
    """Return name and timm name of each model that a multirun's `config` sweeps over, in order.

    Reads the overrides as Hydra's basic sweeper does: those of `hydra.sweeper.params`, then the command line's.
    """
    sources = [source.path for source in config.hydra.runtime.config_sources if source.schema == "file"]
    files = {file.stem: file for source in reversed(sources) for file in sorted(Path(source).glob("model/*.yaml"))}
    params = config.hydra.sweeper.get("params") or {}
    texts = [f"{key}={value}" for key, value in params.items()] + list(config.hydra.overrides.task)
    names = [str(config.model.name)]
    for override in OverridesParser.create().parse_overrides(texts):
        if override.key_or_group == "model" and override.is_sweep_override():
            value = override.value()
            names = value.filter(sorted(files)) if isinstance(value, Glob) else list(override.sweep_string_iterator())
    return {name: OmegaConf.load(files[name]).timm_name for name in names if name in files}


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
