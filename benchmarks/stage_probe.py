"""Is a head on the later stages better than one on the last features? By repeated cross-validation, for several CNNs.

    python -m benchmarks.stage_probe --root <folder of MSID> --place <folder for what is kept> --weights <folder>

`--weights` holds `<CNN>.safetensors` of those whose weights are not bundled. Features are kept below `--place`, one
pass of each network over the photos; the rest is seconds. Writes `<place>/stage_probe.json` and prints a table.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.frozen_views import BATCH, FrozenViews, options_of
from benchmarks.probe_tries import Heads, Try, answers
from benchmarks.repeated_splits import cells, compared, table
from mpox.files import read_yaml, replacing, write_json
from mpox.model.backbone import build, input_record
from mpox.model.features import LAST, STAGES
from mpox.model.frozen import frozen_features
from mpox.model.weights import find
from mpox.options import config_dir

MODELS = "tf_efficientnet_lite0,tf_efficientnet_lite1,tf_efficientnet_lite2,mobilenetv2_100,efficientnet_b0"
UNSCALED = "stages, one unit for all"


def features(views: FrozenViews, model: str, weights: Path | None) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Return features (N, F) of a head on the stages, computed once, and how many each part has."""
    name = str(read_yaml(Path(config_dir(), "model", f"{model}.yaml"))["timm_name"])
    given = weights / f"{model}.safetensors" if weights is not None else None
    source = find(name, "file", str(given)) if given is not None and given.exists() else find(name, "auto")
    network = build(name, len(views.photos.classes), input_record(name), source, STAGES)
    path = views.place / f"features-{STAGES}-{model}-whole.npy"
    if not path.exists():
        found = frozen_features(network, views.photos.data.view(None), BATCH, torch.device("cpu"))
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, found.numpy())
    return torch.from_numpy(np.load(path)), network.feature_widths


def measure(views: FrozenViews, model: str, weights: Path | None, seeds: list[int]) -> dict[str, Any]:
    """Return the figures of the heads of one CNN against those of its last features."""
    found, widths = features(views, model, weights)
    last = found[:, -widths[-1] :].contiguous()
    tries = {LAST: Try([last], [last]), STAGES: Try([found], [found], widths), UNSCALED: Try([found], [found])}
    pairs: dict[str, Any] = defaultdict(list)
    for seed in seeds:
        rows, parts = [], defaultdict(list)
        for cell in cells(views.photos, seed):
            rows.append(cell.test)
            kept: Heads = {}
            for name, one in tries.items():
                parts[name].append(answers(cell, views.photos.targets, one, kept))
        for name, several in parts.items():
            pairs[name].append((np.concatenate(rows), np.concatenate(several)))
    return compared(pairs, views.photos, LAST)


def main() -> None:
    """Measure, write and print."""
    parser = options_of(__doc__, "101,102,103")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    figures = {}
    for model in options.models.split(","):
        views = FrozenViews(model, options.data, options.root, options.place)
        figures[model] = measure(views, model, options.weights, [int(seed) for seed in options.seeds.split(",")])
        print(f"\n{model}\n{table(figures[model], LAST)}", flush=True)
    write_json(options.place / "stage_probe.json", {"seeds": options.seeds, "figures": figures})


if __name__ == "__main__":
    main()
