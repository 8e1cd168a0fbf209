"""Validation photos of a run taken again by a phone, as working pictures, and the network's answers to them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mpox.data.photos import decoded
from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.run.capture_report import capture_reasons, capture_report
from mpox.mobile.run.captures import Form, pictures
from mpox.progress import watched
from mpox.runs.opened import OpenedRun, as_images
from mpox.stats.decision import DecisionRule


@dataclass(frozen=True)
class Captured:
    """Pictures (K, N, S, S, 3) uint8 of N photos under K conditions; the network's logits (K, N, C); targets (N)."""

    pictures: np.ndarray
    network: np.ndarray
    targets: np.ndarray
    held_out: bool

    def judge(
        self, logits_of: Callable[[np.ndarray], np.ndarray], rule: DecisionRule, bound: float | None
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the report of a file, which makes logits of pictures, and why it misses `bound`, if it does."""
        file = np.stack([logits_of(of_one) for of_one in self.pictures])
        found = capture_report(file, self.network, self.targets, rule, held_out=self.held_out)
        return found, capture_reasons(found, bound)


@torch.no_grad()
def capture(run: OpenedRun, network: PhoneNetwork, photos: int, seed: int) -> Captured:
    """Take `photos` validation photos again, drawn with `seed`, one at a time (about 200 MB, a few seconds each).

    Raises PhotoError for one that cannot be read.
    """
    random = np.random.default_rng([seed, 12])
    val = run.rows("val")
    rows = np.sort(random.choice(val, min(photos, len(val)), replace=False))
    record = run.card.record
    form = Form(record.image_size, record.interpolation, record.resize)
    made = []
    for row in watched(rows, f"taking {len(rows)} photos again", len(rows)):
        with decoded(run.root / run.photos["path"].iloc[row]) as photo:
            made.append(pictures(photo.picture, form, random))
    stacked = np.stack(made, 1)
    logits = [torch.cat([network(one)[0] for one in as_images(of_one).split(1)]).float().numpy() for of_one in stacked]
    targets = run.photos["target"].to_numpy()[rows]
    return Captured(stacked, np.stack(logits), targets, held_out=not run.is_final)
