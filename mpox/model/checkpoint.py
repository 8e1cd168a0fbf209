"""A trained network on disk: only tensors and plain values, so that reading it runs no code."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mpox.errors import UserError, reason_of
from mpox.files import replacing
from mpox.model.archive import damage_of
from mpox.model.backbone import InputRecord, PhotoClassifier, build
from mpox.model.features import LAST

# Files of format 1 do not record the classes of their labels; those of 1 and 2 have no options of the architecture, and
# a head on the last features.
FORMAT, READABLE = 3, (1, 2, 3)


@dataclass(frozen=True)
class Card:
    """Facts of a checkpoint: enough to rebuild the network and to identify its run.

    `fold` is `all` for the network of every photo. `targets` is the index in `classes` of each label of its study; None
    in files of format 1. `options` are those of the architecture (`mpox.model.backbone.build`), `features` is what the
    head is a layer of (`mpox.model.stages`).
    """

    timm_name: str
    classes: tuple[str, ...]
    positive: int | None
    record: InputRecord
    study: str
    model: str
    fold: int | str
    splits_sha256: str
    targets: dict[str, int] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    features: str = LAST


def save_checkpoint(path: Path, network: PhotoClassifier, card: Card) -> None:
    """Write the network's state dict (on the CPU) and its card, atomically."""
    tensors = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        torch.save({"format": FORMAT, "card": dataclasses.asdict(card), "state_dict": tensors}, temporary)


def load_checkpoint(path: Path) -> tuple[PhotoClassifier, Card]:
    """Rebuild the network in eval mode, with its card. Loads with `weights_only=True`.

    Raises UserError for a missing, broken or unknown file, or tensors that do not fit the card.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: give a finished run directory")
    if what := damage_of(path):
        raise UserError(f"{path} {what}: restore it, or run the job again")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] not in READABLE:
            raise UserError(
                f"{path} has format {content['format']}, this version reads {FORMAT}: use the version that wrote it"
            )
        facts = content["card"]
        record = InputRecord(**facts.pop("record"))
        card = Card(**{**facts, "classes": tuple(facts["classes"])}, record=record)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path} is not a checkpoint of this tool ({reason_of(error)}): run the job again") from error
    network = build(card.timm_name, len(card.classes), record, features=card.features, options=card.options)
    try:
        network.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit {card.timm_name} with {len(card.classes)} classes: {reason_of(error)}"
        ) from error
    return network.eval(), card
