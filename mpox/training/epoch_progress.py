"""Progress of fine-tuning: a bar on a terminal, elsewhere a line in the log every half minute."""

import logging
import sys
import time
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

log = logging.getLogger("mpox")
# Least seconds between two lines of the log; the first and the last epoch are always logged.
INTERVAL = 30.0


class EpochProgress(L.Callback):
    """Lightning callback: `drawn` on a terminal, else logged; with several processes, only by the first."""

    def __init__(self, *, drawn: bool) -> None:
        self.drawn = drawn and sys.stderr.isatty()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._began = self._logged = 0.0
        self._first = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start counting; a resumed job starts at the epoch from which it resumes."""
        self._began, self._first = time.monotonic(), trainer.current_epoch
        if self.drawn and trainer.is_global_zero:
            columns = (TextColumn("fine-tuning, epoch {task.fields[epoch]}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            steps = int(trainer.num_training_batches) * self._epochs(trainer)
            self._task = self._bar.add_task("", total=steps, completed=trainer.global_step, epoch="")
            self._bar.start()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Update the bar."""
        if self._bar is not None and self._task is not None:
            epoch = f"{trainer.current_epoch + 1} of {self._epochs(trainer)}"
            self._bar.update(self._task, completed=trainer.global_step, epoch=epoch)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the epoch, its loss and an estimate of the remaining time."""
        done, epochs, now = trainer.current_epoch + 1, self._epochs(trainer), time.monotonic()
        due = done in (self._first + 1, epochs) or now - self._logged >= INTERVAL
        if self.drawn or not trainer.is_global_zero or not due:
            return
        self._logged = now
        spent = now - self._began
        left = f", about {spent / (done - self._first) * (epochs - done):.0f} s left" if done < epochs else ""
        loss = trainer.callback_metrics.get("train/loss")
        shown = "" if loss is None else f", training loss {float(loss):.3f}"
        log.info("fine-tuning: epoch %d of %d after %.0f s%s%s", done, epochs, spent, shown, left)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove the bar."""
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Remove the bar."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    @staticmethod
    def _epochs(trainer: L.Trainer) -> int:
        return int(trainer.max_epochs or 0)
