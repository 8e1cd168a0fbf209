"""Maps at the end of a job of any schedule: a probe has no epochs, so none of Lightning's hooks runs."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L

from mpox.command_line import command
from mpox.report.loggers import log_explanations
from mpox.runs.opened import open_run
from mpox.xai.cams import Explainer
from mpox.xai.gallery import explain_photos

log = logging.getLogger("mpox")


class ExplainAtEnd(L.Callback):
    """Explain the photos of one split once the run's files are written; `method` makes the explainer (`mpox.xai`)."""

    def __init__(self, method: Callable[..., Explainer], *, split: str = "test", batch_size: int = 16) -> None:
        self.method, self.split, self.batch_size = method, split, batch_size

    def on_run_finished(self, path: Path, cache: Path, logger: Any) -> None:
        """Write `<path>/explain/<method>/` and log them; a failure is logged and does not change the run."""
        try:
            run = open_run(path, cache=str(cache))
            rows = run.rows(self.split)
            explainer = self.method(run.network, run.images(rows[:2]))
            folder = path / "explain" / explainer.method
            index = explain_photos(run, explainer, rows, folder, target="predicted", batch_size=self.batch_size)
            log_explanations(logger, index, folder)
            log.info("%d photos explained: %s", len(index), folder)
        except Exception as error:  # any failure: the run itself is finished
            log.error("not explained (%s): %s tries again", error, command("mpox.explain", run=path))
