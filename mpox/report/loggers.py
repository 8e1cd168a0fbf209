"""What a job sends to its logger beside Lightning's curves: final figures, files, maps. A failure is a warning."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image

from mpox.report import mlflow, wandb
from mpox.report.wandb_run import spared


def log_result(logger: Logger | None, result: dict[str, Any], predictions: pd.DataFrame, folder: Path) -> None:
    """Log the final figures of a job: W&B with tables, MLflow with files, TensorBoard; a CSV file needs none.

    `result` is metrics.json's content, `predictions` that of predictions.parquet, `folder` the run directory.
    """
    if isinstance(logger, WandbLogger):
        with spared():
            wandb.log_result(logger, result, predictions)
    elif isinstance(logger, MLFlowLogger | TensorBoardLogger):
        with spared(type(logger).__name__.removesuffix("Logger")):
            logger.log_metrics(final_figures(result))
            if isinstance(logger, MLFlowLogger):
                mlflow.store_files(logger, folder)


def final_figures(result: dict[str, Any]) -> dict[str, float]:
    """Return the figures of metrics.json by names such as `test_final/accuracy`; what is not defined is left out."""
    return {
        f"{split}_final/{name}": float(value)
        for split in wandb.PARTS
        for name, value in result.get(split, {}).items()
        if isinstance(value, int | float) and np.isfinite(value)
    }


def log_explanations(logger: Logger | None, index: pd.DataFrame, folder: Path) -> None:
    """Log maps: a table and the contact sheets to W&B, the sheets to MLflow and TensorBoard.

    `index` and `folder` are what `mpox.xai.gallery.explain_photos` returned and wrote.
    """
    if isinstance(logger, WandbLogger):
        wandb.log_explanations(logger, index, folder)
    elif isinstance(logger, MLFlowLogger):
        mlflow.store_sheets(logger, folder)
    elif isinstance(logger, TensorBoardLogger):
        for sheet in sorted(folder.glob("sheet-*.png")):
            with Image.open(sheet) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            logger.experiment.add_image(f"explain/{folder.name}/{sheet.stem}", pixels, dataformats="HWC")


def close(logger: Logger | None) -> None:
    """End the logger of a job whose results are written: a probe has no training that would end it."""
    if isinstance(logger, MLFlowLogger | TensorBoardLogger):
        with spared(type(logger).__name__.removesuffix("Logger")):
            logger.finalize("success")
