"""What the launchers of this project share: jobs in processes of their own, whose end the starting process learns.

A job hands back what it noted of its end, so that nothing has to be read from files; one whose process is lost costs
itself, and the sweep goes on.
"""

import signal
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

# What a process hands back of a job: Hydra's own return, and the journal's entries.
Ended = tuple[JobReturn, tuple[Any, ...]]


@dataclass(frozen=True)
class Job:
    """All that a process needs to run one job; `stops`: it ends by SIGINT and SIGTERM as a command does."""

    context: HydraContext
    function: TaskFunction
    config: DictConfig
    state: Any
    stops: bool

    def __call__(self) -> Ended:
        """Run it, in the process that was started for it."""
        from mpox.runs import journal  # imported here, since Hydra imports every plugin at every start

        Singleton.set_state(self.state)
        setup_globals()
        if self.stops:
            _stop_on_signals()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        journal.begin()
        returned = run_job(
            hydra_context=self.context,
            task_function=self.function,
            config=self.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        return returned, journal.ended()

    def checkpoint(self) -> Any:
        """Be queued again by submitit after a time limit or a preemption; the run resumes from its last epoch."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


class JobsLauncher(Launcher):
    """Give every job to `outcomes`, and note how each ended as they come."""

    stops = False

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the arguments that Hydra gives to a launcher."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    @abstractmethod
    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Ended | BaseException]]:
        """Run the jobs; yield the number of each as it ends, with what it handed back or what its process died of."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; return when the last one has ended."""
        from mpox.runs import journal
        from mpox.training.sweep import print_progress

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        state = Singleton.get_state()
        configs = [self._config(initial_job_idx + k, overrides) for k, overrides in enumerate(job_overrides)]
        jobs = [Job(self.hydra_context, self.task_function, config, state, self.stops) for config in configs]
        returned: list[JobReturn] = [JobReturn(status=JobStatus.UNKNOWN) for _ in jobs]
        for k, outcome in self.outcomes(jobs):
            if isinstance(outcome, BaseException):
                returned[k] = JobReturn(status=JobStatus.COMPLETED, _return_value=None)
                _note_lost(configs[k], outcome)
            else:
                returned[k], entries = outcome
                journal.take_over(entries)
            if journal.ended():
                print_progress(journal.ended()[-1])
        return returned

    def _config(self, number: int, overrides: Sequence[str]) -> DictConfig:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = f"{config.hydra.job.name}_{number}", number
        return config


def _note_lost(config: DictConfig, error: BaseException) -> None:
    from mpox.options import expanded
    from mpox.runs import journal

    words = " ".join(str(error).split())[:200] or type(error).__name__
    lost = journal.Entry(config.study, config.model.name, config.fold, "failed", 0.0, f"worker lost: {words}")
    journal.note(expanded(str(config.runs_dir)), lost)


def _stop_on_signals() -> None:
    """Raise Stopped at the first of the two signals; who started this process ends it, whatever comes after that."""
    from mpox.errors import Stopped

    def stop(number: int, _: Any) -> None:
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_IGN)
        raise Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
