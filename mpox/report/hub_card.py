"""A network in the layout of timm's hub: config.json, model.safetensors, and README.md as its model card."""

from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import save_for_hf

from mpox import __version__
from mpox.data.folds import title_of
from mpox.errors import UserError
from mpox.files import replacing_folder, sha256_of
from mpox.model.backbone import PhotoClassifier
from mpox.model.checkpoint import Card
from mpox.model.features import LAST
from mpox.places import check_replaceable
from mpox.report.page import environment
from mpox.stats.metrics import METRICS

SUMS = "SHA256SUMS"
FILES = frozenset(["README.md", SUMS, "config.json", "model.safetensors"])
BLANK = "*To be filled in by a person*"
# Of metrics.json, in the order of the card.
SHOWN = ("accuracy", "balanced_accuracy", "auroc", "nll", "ece", "sensitivity", "specificity")
# The largest difference of a logit between the network and what timm reads back.
TOLERANCE = 1e-4


def write_hub_folder(
    folder: Path, network: PhotoClassifier, card: Card, metrics: dict[str, Any], *, licence: str | None, overwrite: bool
) -> int:
    """Write `folder`, complete or not at all, and return how many places of its card people must fill in.

    It is placed only where timm, reading it, gives the network's logits. Raises UserError for a head that timm's layout
    does not hold, for a folder that exists (unless `overwrite` and it is one of these), and where logits differ.
    """
    if card.features != LAST:
        raise UserError(
            f"the head of {card.model} takes the maps of several stages, which timm's layout does not hold: train with "
            "model.features=last, or use mpox.export"
        )
    if folder.exists() and not overwrite:
        raise UserError(f"{folder} exists: give another to=, or overwrite=true to replace it")
    if folder.exists():
        check_replaceable(folder, FILES.__contains__, "published folder", "to")
    text = model_card(card, metrics, licence)
    with replacing_folder(folder) as temporary:
        record = card.record
        save_for_hf(
            network.backbone.to(memory_format=torch.contiguous_format),  # the only one that safetensors writes
            str(temporary),
            model_config={"label_names": list(card.classes)},
            safe_serialization=True,
            data_config={
                "input_size": (3, record.image_size, record.image_size),
                "mean": record.mean,
                "std": record.std,
                "interpolation": record.interpolation,
                "crop_pct": 1.0,
            },
        )
        (temporary / "README.md").write_text(text, encoding="utf-8")
        # safetensors lets nobody but its owner read what it writes.
        (temporary / "model.safetensors").chmod((temporary / "README.md").stat().st_mode)
        _check(temporary, network, card)
        sums = [f"{sha256_of(temporary / name)}  {name}\n" for name in sorted(FILES - {SUMS})]
        (temporary / SUMS).write_text("".join(sums), encoding="utf-8")
    return text.count(BLANK)


def _check(folder: Path, network: PhotoClassifier, card: Card) -> None:
    """Raise UserError where timm reads another network from `folder`: on noise of the network's own size."""
    read = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    side = card.record.image_size
    images = torch.randint(0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(0)).float()
    with torch.no_grad():
        own = network.cpu().eval()(images)
        given = read(network.normalise(images))
    if given.shape != own.shape or float((given - own).abs().max()) > TOLERANCE:
        raise UserError(f"timm reads another network from the files of {card.model}: use mpox.export instead")


def model_card(card: Card, metrics: dict[str, Any], licence: str | None) -> str:
    """Return README.md: what a hub shows, and what only people know marked as such."""
    part, photos = ("test", "its test fold") if "test" in metrics else ("cross_validated", "those of all folds")
    figures = metrics[part]
    return (
        environment()
        .get_template("hub_card.md.j2")
        .render(
            card=card,
            architecture=card.timm_name.partition(".")[0],
            version=__version__,
            fold=title_of(card.fold),
            figures=figures,
            photos=photos,
            rows=[(METRICS[name].title, figures[name]) for name in SHOWN if figures.get(name) is not None],
            licence=licence,
            blank=BLANK,
        )
    )
