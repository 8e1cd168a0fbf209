"""`hydra/launcher=joblib`: the jobs of a sweep on the cores of this machine, in processes of joblib's loky.

Each process is a pool of its own: with one pool for all, as in the published plugin, hydra-joblib-launcher 1.2.0, one
process that is killed takes the jobs of the others with it, and the sweep.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Any

from hydra_plugins.mpox_study.jobs_launcher import Ended, Job, JobsLauncher

# How long processes that were asked to stop have for noting it.
STOPPING_S = 30


class JoblibLauncher(JobsLauncher):
    """Run jobs in `n_jobs` processes at once; -1: one a core.

    Where the published plugin is installed, Hydra adds that one's options to the configuration: they mean nothing here.
    """

    stops = True

    def __init__(self, n_jobs: int, **_: Any) -> None:
        self.n_jobs = n_jobs

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Ended | BaseException]]:
        """Hand out a job when a process is free."""
        from joblib import effective_n_jobs
        from joblib.externals.loky import ProcessPoolExecutor
        from joblib.externals.loky.process_executor import BrokenProcessPool

        def process() -> Any:
            return ProcessPoolExecutor(1)

        idle = [process() for _ in range(min(effective_n_jobs(self.n_jobs), len(jobs)))]
        waiting = list(enumerate(jobs))
        working: dict[Any, tuple[int, Any]] = {}
        try:
            while waiting or working:
                while waiting and idle:
                    (k, job), pool = waiting.pop(0), idle.pop()
                    working[pool.submit(job)] = k, pool
                ended, _ = wait(working, return_when=FIRST_COMPLETED)
                for future in ended:
                    k, pool = working.pop(future)
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        pool.shutdown(kill_workers=True)
                        pool = process()
                    idle.append(pool)
                    yield k, future.result() if error is None else error
        except BaseException:  # stopped by a signal: every process notes that for its job, and then all end
            _terminate_children()
            wait(working, STOPPING_S)
            raise
        finally:
            for pool in [*idle, *(pool for _, pool in working.values())]:
                pool.shutdown(wait=not working, kill_workers=bool(working))


def _terminate_children() -> None:
    import psutil

    for child in psutil.Process().children():
        try:
            child.terminate()
        except psutil.NoSuchProcess:
            continue
