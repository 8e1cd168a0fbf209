"""An exported file at the end of a job of any schedule."""

import logging
from pathlib import Path
from typing import Any

import lightning as L

from mpox.command_line import command
from mpox.mobile.export.job import export_run
from mpox.mobile.export.original import Request
from mpox.report.export_card import write_export_card
from mpox.runs.opened import open_run

log = logging.getLogger("mpox")


class ExportAtEnd(L.Callback):
    """Export the run once its files are written; `options` are those of `mpox.mobile.export.original.Request`."""

    def __init__(self, exports_dir: str, **options: Any) -> None:
        self.request = Request(Path(exports_dir), **options)

    def on_run_finished(self, path: Path, cache: Path, logger: Any) -> None:
        """Write the export; a file that misses its bound, or any failure, is logged and does not change the run."""
        try:
            run = open_run(path, device="cpu", cache=str(cache))
            report = export_run(run, self.request, write_export_card)
            log.info("exported as %s: %s", report["recipe"], self.request.exports_dir / report["name"])
        except Exception as error:  # any failure: the run itself is finished
            log.error("not exported (%s): %s tries again", error, command("mpox.export", run=path))
