"""One run of W&B, opened, filled and closed; its failures are warnings."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import wandb

from mpox.errors import reason_of
from mpox.report.wandb_mode import stable_id

log = logging.getLogger(__name__)


@contextlib.contextmanager
def spared(what: str = "W&B") -> Iterator[None]:
    """Turn whatever a logger (`what`) raises into a warning: logging must never fail a job."""
    try:
        yield
    except Exception as error:
        log.warning("%s: %s; the run directory has it all", what, reason_of(error))


def settings() -> wandb.Settings:
    """Quiet, and without what W&B collects of the machine by itself: its name, the user's, the command line's paths."""
    return wandb.Settings(
        console="off", silent=True, quiet=True, host="", x_disable_meta=True, x_disable_machine_info=True
    )


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
            settings=settings(),
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
