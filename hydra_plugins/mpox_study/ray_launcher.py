"""`hydra/launcher=ray`: the jobs of a sweep as Ray tasks, on this machine or on a cluster.

A thin adapter to Ray's task resources and retries: the published plugin, hydra-ray-launcher 1.2.2, pins
cloudpickle < 3, with which current Ray does not run, and installs an AWS client.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hydra_plugins.mpox_study.jobs_launcher import Ended, Job, JobsLauncher


class RayLauncher(JobsLauncher):
    """Launch each job as a Ray task. `init` goes to `ray.init`, `remote` to the task's options.

    A job whose worker process or machine is lost is started again, up to `remote.max_retries` times; it resumes from
    its last finished epoch. After that it has failed, and the other jobs continue.
    """

    def __init__(self, init: DictConfig, remote: DictConfig) -> None:
        self.init: Any = OmegaConf.to_container(init, resolve=True)
        self.remote: Any = OmegaConf.to_container(remote, resolve=True)

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Ended | BaseException]]:
        """Run the jobs as tasks; Ray decides how many at once."""
        from mpox.extras import require  # imported here, since Hydra imports every plugin at every start

        require("ray", "ray", what="this launcher")
        import ray

        if not ray.is_initialized():
            ray.init(**self.init)
        task = ray.remote(_run).options(**self.remote)
        waiting = {task.remote(job): k for k, job in enumerate(jobs)}
        while waiting:
            (ended, *_), _ = ray.wait(list(waiting))
            k = waiting.pop(ended)
            try:
                yield k, ray.get(ended)
            except ray.exceptions.RayError as error:
                yield k, error


def _run(job: Job) -> Ended:
    return job()
