"""Weights & Biases: one run a job, a copy of the run directory's results."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import wandb
from lightning.pytorch.loggers import WandbLogger

from mpox.report.wandb_mode import resolve_mode, run_id
from mpox.report.wandb_run import settings, spared

# The parts of metrics.json that hold figures; a final network has those of its folds together alone.
PARTS = ("val", "test", "cross_validated")


class _Logger(WandbLogger):
    """Lightning's logger, whose failures in the middle of a training are warnings."""

    def log_metrics(self, *arguments: Any, **named: Any) -> None:
        """Log the metrics of a step."""
        with spared():
            super().log_metrics(*arguments, **named)

    def after_save_checkpoint(self, *arguments: Any) -> None:
        """Note a checkpoint."""
        with spared():
            super().after_save_checkpoint(*arguments)

    def finalize(self, *arguments: Any) -> None:
        """End a training."""
        with spared():
            super().finalize(*arguments)


def make_logger(
    *, run_dir: str, study: str, model: str, fold: int | str, project: str, entity: str | None, mode: str
) -> WandbLogger:
    """Start (or, for a resumed job, continue) the W&B run of one job; its local files go to the run directory.

    The id is a function of study, model and fold, the group is study/model. `mode=auto` is online where a key is found
    (WANDB_API_KEY or a netrc entry) and offline otherwise; nothing ever asks for one. UserError: another mode.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    logger = _Logger(
        project=project,
        entity=entity,
        id=run_id(study, model, fold),
        name=f"{model}/fold-{fold}",
        group=f"{study}/{model}",
        job_type="train",
        tags=[study, model],
        save_dir=run_dir,
        resume="allow",
        mode=resolve_mode(mode),
        settings=settings(),
        log_model=False,
    )
    # Lightning passes wandb a setting that wandb warns of at every start, silent or not.
    logger._wandb_init.pop("anonymous", None)
    return logger


def log_result(logger: WandbLogger, result: dict[str, Any], predictions: pd.DataFrame) -> None:
    """Record final metrics as the run's summary, and predictions and confusion matrix of the test fold as media.

    `result` is metrics.json's content, `predictions` that of predictions.parquet.
    """
    run = logger.experiment
    for part in [name for name in PARTS if name in result]:
        run.summary.update({f"{part}_final/{name}": value for name, value in result[part].items()})
    classes = list(result["classes"])
    test = predictions[predictions["split"] == "test"]
    logits = test[[f"logit_{name}" for name in classes]].to_numpy()
    matrix = wandb.plot.confusion_matrix(
        y_true=[classes.index(label) for label in test["label"]],
        preds=logits.argmax(1).tolist(),
        class_names=classes,
        title="test fold",
    )
    run.log({"predictions": wandb.Table(dataframe=predictions), "confusion_matrix": matrix})


def log_explanations(logger: WandbLogger, index: pd.DataFrame, folder: Path) -> None:
    """Add a table of explained photos (overlay and facts of each) and the contact sheets.

    `index` and `folder` are what `mpox.xai.gallery.explain_photos` returned and wrote.
    """
    facts = ["photo_id", "split", "label", "predicted", "confidence", "correct", "target", "blank", "scale"]
    table = wandb.Table(columns=["map", *facts])
    for entry in index.to_dict("records"):
        table.add_data(wandb.Image(str(folder / entry["overlay"])), *(entry[name] for name in facts))
    sheets = [wandb.Image(str(path), caption=path.stem) for path in sorted(folder.glob("sheet-*.png"))]
    logger.experiment.log({f"explain/{folder.name}": table, f"explain/{folder.name}_sheets": sheets})
