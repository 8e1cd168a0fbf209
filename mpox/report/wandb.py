"""Weights & Biases: one run a job, a copy of the run directory's results."""

import contextlib
import functools
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import requests
import wandb
from lightning.pytorch.loggers import WandbLogger

from mpox.errors import UserError, reason_of

log = logging.getLogger(__name__)
MODES = ("auto", "online", "offline", "disabled")


@contextlib.contextmanager
def spared() -> Iterator[None]:
    """Turn whatever W&B raises into a warning: logging must never fail a job."""
    try:
        yield
    except Exception as error:
        log.warning("W&B: %s; the run directory has it all", reason_of(error))


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
    *, run_dir: str, study: str, model: str, fold: int, project: str, entity: str | None, mode: str
) -> WandbLogger:
    """Start (or, for a resumed job, continue) the W&B run of one job; its local files go to the run directory.

    The id is a function of study, model and fold, the group is study/model. `mode=auto` is online where a key is found
    (WANDB_API_KEY or a netrc entry) and offline otherwise; nothing ever asks for one. UserError: another mode.
    """
    # Lightning passes wandb a setting that wandb warns of at every start; nothing else is lost by this.
    os.environ.setdefault("WANDB_SILENT", "true")
    return _Logger(
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
        settings=_settings(),
        log_model=False,
    )


def _settings() -> wandb.Settings:
    """Quiet, and without what W&B collects of the machine by itself: its name, the user's, the command line's paths."""
    return wandb.Settings(
        console="off", silent=True, quiet=True, host="", x_disable_meta=True, x_disable_machine_info=True
    )


def resolve_mode(mode: str) -> str:
    """Turn `auto` into WANDB_MODE where that is set, else `online` where there is a key, or `offline` with a warning.

    Raises UserError for an unknown mode.
    """
    if mode not in MODES:
        raise UserError(f"logger.mode={mode} is unknown: choose one of {', '.join(MODES)}")
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE", "auto")
    if mode in MODES and mode != "auto":
        return mode
    if _has_key():
        return "online"
    _warn_offline()
    return "offline"


def _has_key() -> bool:
    """Look where wandb looks for credentials, without starting it: it would ask for them."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    server = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    return requests.utils.get_netrc_auth(server) is not None


def run_id(study: str, model: str, fold: int) -> str:
    """Return a W&B run id that is the same whenever the same job runs: readable, and unique by a hash."""
    return stable_id(f"{study}/{model}/fold-{fold}")


def stable_id(name: str) -> str:
    """Return an id of letters, digits and dashes for a name: readable, and unique by a hash."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:80]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def log_result(logger: WandbLogger, result: dict[str, Any], predictions: pd.DataFrame) -> None:
    """Record final metrics as the run's summary, and predictions and confusion matrix of the test fold as media.

    `result` is metrics.json's content, `predictions` that of predictions.parquet.
    """
    run = logger.experiment
    for split in ("val", "test"):
        run.summary.update({f"{split}_final/{name}": value for name, value in result[split].items()})
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


def send(
    fill: Callable[[Any], None],
    *,
    what: str,
    name: str,
    study: str,
    job_type: str,
    tags: Sequence[str],
    config: dict[str, Any],
    project: str,
    entity: str | None,
    mode: str,
    place: Path,
    kept: Path,
) -> Any | None:
    """Open the one run `<study>/<what>`, have `fill(run)` log into it, close it and return it; local files in `place`.

    Its id depends on study and `what` alone: sent again, it updates the same run. `mode` is a resolved one, not
    `disabled`. None where W&B fails, with a warning that names `kept`, where everything is.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    place.mkdir(parents=True, exist_ok=True)
    try:
        with wandb.init(
            project=project,
            entity=entity,
            id=stable_id(f"{study}/{what}"),
            name=f"{study}: {name}",
            group=study,
            job_type=job_type,
            tags=[study, *tags],
            dir=str(place),
            resume="allow",
            mode="online" if mode == "online" else "offline",
            settings=_settings(),
            config=config,
        ) as run:
            fill(run)
    except (wandb.errors.Error, OSError, ValueError) as error:  # a full disk; a name that W&B does not take
        log.warning("W&B: the %s was not sent (%s); %s has it all", name, reason_of(error), kept)
        return None
    return run


def finish(failed: bool = False) -> None:
    """Close the W&B run of this process, if one is open; call it in `finally`."""
    if wandb.run is not None:
        with spared():
            wandb.finish(exit_code=int(failed))


@functools.cache
def _warn_offline() -> None:
    log.warning(
        "W&B: no key found, so runs are written offline; `wandb sync runs/<study>/*/*/wandb/offline-run-*` sends them"
    )
