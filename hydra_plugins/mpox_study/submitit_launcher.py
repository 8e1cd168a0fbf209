"""`hydra/launcher=submitit_slurm` (or `submitit_local`): each job of a sweep a process of its own, by submitit.

The published plugin, hydra-submitit-launcher 1.2.0, ends the sweep with the first job whose process is lost.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import OmegaConf

from hydra_plugins.mpox_study.jobs_launcher import Ended, Job, JobsLauncher

# Between two looks at the jobs.
POLL_S = 1.0
# Parameters that every cluster knows; the others have the cluster's name before them in submitit.
COMMON = frozenset(
    [
        *("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name"),
        "stderr_to_stdout",
    ]
)


class SubmititLauncher(JobsLauncher):
    """Submit all jobs to `cluster` at once and wait for them; `parameters` are submitit's own."""

    cluster = ""

    def __init__(self, submitit_folder: str, max_num_timeout: int | None = None, **parameters: Any) -> None:
        self.folder = submitit_folder
        self.executor = {} if max_num_timeout is None else {f"{self.cluster}_max_num_timeout": max_num_timeout}
        self.parameters = {
            name if name in COMMON else f"{self.cluster}_{name}": OmegaConf.to_container(value, resolve=True)
            if OmegaConf.is_config(value)
            else value
            for name, value in parameters.items()
        }

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Ended | BaseException]]:
        """Submit the jobs as one array; those that this command started on this machine are cancelled when it stops."""
        from mpox.extras import require  # imported here, since Hydra imports every plugin at every start

        require("submitit", "slurm", what="this launcher")
        import submitit

        executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster, **self.executor)
        executor.update_parameters(**self.parameters)
        with executor.batch():
            submitted = [executor.submit(job) for job in jobs]
        waiting = dict(enumerate(submitted))
        try:
            while waiting:
                for k in [k for k, job in waiting.items() if job.done()]:
                    yield k, _outcome(waiting.pop(k))
                if waiting:
                    time.sleep(POLL_S)
        except BaseException:
            for job in waiting.values() if self.cluster == "local" else ():
                job.cancel()
            raise


class LocalLauncher(SubmititLauncher):
    """On this machine."""

    cluster = "local"


class SlurmLauncher(SubmititLauncher):
    """As one array of Slurm."""

    cluster = "slurm"


def _outcome(job: Any) -> Ended | BaseException:
    try:
        ended: Ended = job.result()
        return ended
    except Exception as error:  # of submitit, for a process that left no result
        return error
