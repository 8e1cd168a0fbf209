"""What was tried to make the probe better: other sizes, flips, scales and layers, by repeated cross-validation.

    python -m benchmarks.probe_tries --root <folder of MSID> --place <folder for what is kept> --seeds 101,102,103

Writes `<place>/probe_tries.json` and prints the table.
"""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.frozen_views import FLIPS, FrozenViews, options_of
from benchmarks.repeated_splits import Cell, cells, compared, table
from benchmarks.upper_training import heads
from mpox.files import write_json
from mpox.model.features import STAGES

MODEL, PROBE = "tf_efficientnet_lite0", "probe"
# Inner folds whose validation photos choose the penalty.
CHOOSING = [0, 3, 6]
AUGMENTED = 3

# Weight and bias by what they were fitted to.
Heads = dict[tuple[int, ...], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Try:
    """Features (N, F) to learn from, one set a view, and those asked; the mean of the answers' probabilities counts."""

    learned: Sequence[Tensor]
    asked: Sequence[Tensor]
    widths: tuple[int, ...] = ()


def tries(views: FrozenViews) -> dict[str, Try]:
    """Return everything that is tried, by name."""
    plain, large, larger = (views.features(name) for name in ("plain", "side-256", "side-288"))
    flips = [views.features(name) for name in FLIPS]
    augmented = [views.features(f"epoch-{number}") for number in range(AUGMENTED)]
    scales = torch.cat([plain, large, larger], 1)
    stages = [views.features(name, STAGES) for name in FLIPS]
    widths = views.widths(STAGES)
    parts = stages[0].split(list(widths), 1)  # after blocks 2 to 6, and the last features
    one_unit = torch.cat([(part - part.mean(0)) / part.std(0).clamp_min(1e-6) for part in parts[1:]], 1)
    return {
        PROBE: Try([plain], [plain]),
        "flips at test time": Try([plain], flips),
        "tested at 256 pixels": Try([plain], [large]),
        "tested at 288 pixels": Try([plain], [larger]),
        "trained and tested at 256 pixels": Try([large], [large]),
        "trained and tested at 288 pixels": Try([larger], [larger]),
        "scales 224, 256 and 288 side by side": Try([scales], [scales]),
        "stages": Try(stages[:1], stages[:1], widths),
        "stages, one unit for all": Try(stages[:1], stages[:1]),
        "stages, the last four": _of(parts[1:]),
        "stages, those before each stride": _of([parts[k] for k in (0, 2, 4, 5)]),
        "stages, the last alone, one unit": Try([torch.cat(parts[4:], 1)], [torch.cat(parts[4:], 1)]),
        "stages, the last four, each feature to its own unit": Try([one_unit], [one_unit]),
        "flips learned from": Try(flips, [plain]),
        "flips learned from and at test time": Try(flips, flips),
        "stages, flips learned from": Try(stages, stages[:1], widths),
        "stages, flips learned from and at test time": Try(stages, stages, widths),
        "three augmented views learned from": Try([plain, *augmented], [plain]),
    }


def _of(parts: Sequence[Tensor]) -> Try:
    features = torch.cat(list(parts), 1)
    return Try([features], [features], tuple(part.shape[1] for part in parts))


def answers(cell: Cell, targets: np.ndarray, one: Try, kept: Heads) -> np.ndarray:
    """Return log probabilities (n, C) of the test photos; `kept` holds heads by what they learned from."""
    key = (*map(id, one.learned), len(one.widths))
    if key not in kept:
        kept[key] = _head(cell, targets, one)
    weight, bias = kept[key]
    chances = [(view[cell.test] @ weight.T + bias).double().softmax(1) for view in one.asked]
    return np.asarray(torch.stack(chances).mean(0).clamp_min(1e-12).log().numpy())


def _head(cell: Cell, targets: np.ndarray, one: Try) -> tuple[Tensor, Tensor]:
    """Choose the penalty on three inner folds and fit on everything but the test photos."""
    n_views = len(one.learned)
    features, repeated = torch.cat(list(one.learned)), np.tile(targets, n_views)
    val = cell.val[CHOOSING]
    only_photos = np.concatenate([val, np.zeros((len(val), (n_views - 1) * len(targets)), bool)], 1)
    own = heads(features, repeated, np.tile(cell.train[CHOOSING], n_views), only_photos, widths=one.widths)
    rest = np.tile(np.isin(np.arange(len(targets)), cell.rest), n_views)[None]
    penalty = [statistics.median_low(head.l2 for head in own)]
    final = heads(features, repeated, rest, rest, penalty, one.widths)[0]
    return final.weight, final.bias


def main() -> None:
    """Measure, write and print."""
    parser = options_of(__doc__, "101,102,103")
    options = parser.parse_args()
    views = FrozenViews(MODEL, options.data, options.root, options.place)
    found, targets = tries(views), views.photos.targets
    pairs: dict[str, Any] = defaultdict(list)
    for seed in options.seeds.split(","):
        rows, parts = [], defaultdict(list)
        for cell in cells(views.photos, int(seed)):
            rows.append(cell.test)
            kept: Heads = {}
            for name, one in found.items():
                parts[name].append(answers(cell, targets, one, kept))
        for name, several in parts.items():
            pairs[name].append((np.concatenate(rows), np.concatenate(several)))
    figures = compared(pairs, views.photos, PROBE)
    write_json(options.place / "probe_tries.json", {"seeds": options.seeds, "figures": figures})
    print(table(figures, PROBE))


if __name__ == "__main__":
    main()
