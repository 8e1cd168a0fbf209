"""MLflow: one run a job, on Lightning's logger; it needs the extra `mlflow`."""

import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger

from mpox.extras import require
from mpox.report.wandb_mode import run_id
from mpox.report.wandb_run import spared

# The tag by which a job that is started again finds its run.
TAG = "mpox.run"
# Small files of a run that are stored with it; its configuration holds paths of this machine, and is sent without them.
FILES = ("metrics.json", "predictions.parquet")


class _Logger(MLFlowLogger):
    """Lightning's logger, whose failures in the middle of a training are warnings; a job begun before goes on."""

    def log_hyperparams(self, *arguments: Any, **named: Any) -> None:
        """Find or start the run and log the configuration. Raises mlflow's own errors where there is no server."""
        if self._run_id is None:
            self._run_id = _earlier(self._mlflow_client, self._experiment_name, (self.tags or {})[TAG])
        _ = self.experiment
        with spared("MLflow"):  # which refuses a value that was another when the job was begun
            super().log_hyperparams(*arguments, **named)

    def log_metrics(self, *arguments: Any, **named: Any) -> None:
        """Log the metrics of a step."""
        with spared("MLflow"):
            super().log_metrics(*arguments, **named)

    def finalize(self, *arguments: Any) -> None:
        """End a training."""
        with spared("MLflow"):
            super().finalize(*arguments)


def make_logger(
    *, run_dir: str, study: str, model: str, fold: int | str, experiment: str, tracking_uri: str | None, local: str
) -> MLFlowLogger:
    """Return the logger of one job, whose MLflow run is started, or continued, when the configuration is logged.

    `tracking_uri` is a server or store; None: MLFLOW_TRACKING_URI, else a database in the folder `local`. Neither the
    user's name nor the path of the program is sent. Raises UserError without the package.
    """
    require("mlflow", "mlflow", what="logger=mlflow")
    # Its own seven tries take minutes where a server is gone.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    place, artifacts = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"), None
    if not place:
        folder = Path(local).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        place, artifacts = f"sqlite:///{folder}/mlflow.db", (folder / "artifacts").as_uri()
    key = run_id(study, model, fold)
    return _Logger(
        experiment_name=experiment,
        run_name=f"{study}/{model}/fold-{fold}",
        tracking_uri=place,
        artifact_location=artifacts,
        tags={TAG: key, "study": study, "model": model, "mlflow.user": "", "mlflow.source.name": "mpox.train"},
        log_model=False,
        save_dir=run_dir,
    )


def _earlier(client: Any, experiment: str, key: str) -> str | None:
    """Return the id of the MLflow run of a job that was started before, None where it was not."""
    known = client.get_experiment_by_name(experiment)
    if known is None:
        return None
    found = client.search_runs([known.experiment_id], f"tags.`{TAG}` = '{key}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def store_files(logger: MLFlowLogger, folder: Path) -> None:
    """Store metrics.json and predictions.parquet of a run directory."""
    for name in FILES:
        logger.experiment.log_artifact(logger.run_id, str(folder / name))


def store_sheets(logger: MLFlowLogger, folder: Path) -> None:
    """Store the contact sheets of explained photos as `explain/<method>/sheet-*.png`."""
    for sheet in sorted(folder.glob("sheet-*.png")):
        logger.experiment.log_artifact(logger.run_id, str(sheet), f"explain/{folder.name}")
