"""`hydra/launcher=ray`: the jobs of a sweep as Ray tasks, on this machine or on a cluster.

A thin adapter to Ray's task resources and retries: the published plugin, hydra-ray-launcher 1.2.2, pins
cloudpickle < 3, with which current Ray does not run, and installs an AWS client.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

log = logging.getLogger(__name__)


class RayLauncher(Launcher):
    """Launch each job as a Ray task. `init` goes to `ray.init`, `remote` to the task's options.

    A job whose worker process or machine is lost is started again, up to `remote.max_retries` times; it resumes from
    its last finished epoch. After that it is recorded in the journal as failed, and the other jobs continue.
    """

    def __init__(self, init: DictConfig, remote: DictConfig) -> None:
        self.init: Any = OmegaConf.to_container(init, resolve=True)
        self.remote: Any = OmegaConf.to_container(remote, resolve=True)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the arguments that Hydra gives to a launcher."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; return when the last one has ended."""
        import ray  # imported here, since Hydra imports every plugin at every start

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        if not ray.is_initialized():
            ray.init(**self.init)
        task = ray.remote(_job).options(**self.remote)
        state = Singleton.get_state()
        context, function = ray.put(self.hydra_context), ray.put(self.task_function)
        configs = [self._config(initial_job_idx + k, overrides) for k, overrides in enumerate(job_overrides)]
        jobs = [task.remote(context, function, config, state) for config in configs]
        return [self._ended(ray, job, config) for job, config in zip(jobs, configs, strict=True)]

    def _config(self, number: int, overrides: Sequence[str]) -> DictConfig:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = f"{config.hydra.job.name}_{number}", number
        return config

    def _ended(self, ray: Any, job: Any, config: DictConfig) -> JobReturn:
        try:
            return ray.get(job)
        except ray.exceptions.RayError as error:
            from mpox.options import expanded
            from mpox.runs import journal

            message = " ".join(str(error).split())[:200]
            lost = journal.Entry(config.study, config.model.name, config.fold, "failed", 0.0, f"worker lost: {message}")
            journal.append(expanded(str(config.runs_dir)), lost)
            return JobReturn(status=JobStatus.COMPLETED, _return_value=None)


def _job(context: HydraContext, function: TaskFunction, config: DictConfig, state: Any) -> JobReturn:
    Singleton.set_state(state)
    setup_globals()
    Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    return run_job(
        hydra_context=context,
        task_function=function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
