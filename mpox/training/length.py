"""How long a fine-tuning is: in epochs, unless the set is so small that they hold too few steps."""

import math
from collections.abc import Mapping
from typing import Any

from mpox.errors import UserError

# Options of `schedule.finetune` about its length alone.
LENGTH = ("epochs", "min_steps", "max_epochs")


def but_length(finetune: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a fine-tuning that are about something else than its length: those of LesionClassifier."""
    return {name: value for name, value in finetune.items() if name not in LENGTH}


def epochs_to_train(finetune: Mapping[str, Any], steps_per_epoch: int) -> int:
    """Return the epochs of a fine-tuning that takes `steps_per_epoch` steps in each.

    `epochs`, or as many more as `min_steps` steps need, but never more than `max_epochs`: ten epochs of 60 photos are
    10 steps, and a network that starts from a random head has learned nothing by then. Null is no bound. Raises
    UserError where the ceiling is below `epochs`.
    """
    epochs, floor, ceiling = finetune["epochs"], finetune.get("min_steps"), finetune.get("max_epochs")
    if ceiling is not None and ceiling < epochs:
        raise UserError(
            f"schedule.finetune.max_epochs={ceiling} is below schedule.finetune.epochs={epochs}: raise one or lower "
            "the other"
        )
    needed = epochs if floor is None else max(epochs, math.ceil(floor / max(1, steps_per_epoch)))
    return int(needed if ceiling is None else min(needed, ceiling))


def rate_of_several(processes: int, batch_size: int, rate: float) -> str:
    """Return the line that says how many photos a step of several processes takes, and that the rate stays."""
    return (
        f"{processes} processes of {batch_size} photos: {processes * batch_size} photos a step, and fewer steps. The "
        f"learning rate stays optimizer.lr={rate:g}; for the training of one device give batch_size="
        f"{max(1, batch_size // processes)}"
    )
