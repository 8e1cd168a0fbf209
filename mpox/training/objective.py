"""The objective of a W&B sweep: the mean validation figure over the folds of one trial, in one W&B run a trial."""

from typing import Any

import wandb
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

METRIC = "val/balanced_accuracy_mean"


class WandbObjective(Callback):
    """Hydra callback of a multirun over folds started by `wandb agent`, with Hydra's serial launcher."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Log the mean so far as one more step of the run that the agent named (WANDB_RUN_ID)."""
        if job_return.return_value is None:
            return
        self.values.append(job_return.return_value)
        settings = wandb.Settings(console="off", silent=True)
        # Opened again each time: a job closes any open W&B run.
        with wandb.init(dir=config.runs_dir, resume="allow", settings=settings) as run:
            run.log({METRIC: sum(self.values) / len(self.values), "folds": len(self.values)}, step=len(self.values))
