"""Where an app lets its platform scale photos: does a resize within the file help, or learning from several scalers?

    python -m benchmarks.platform_scalers --root <folder of MSID> --place <folder for what is kept> --seeds 101

Each photo is taken again with 12 megapixels (`mpox.mobile.run.captures`), then scaled to the network's side by the
contract, by plain bilinear, by area, and by plain bilinear to four times the side with an average of 4 by 4 within the
file. Probes of EfficientNet-Lite0 learn from the contract's pictures, or from all three scalers; answers are compared
with those of the first on the contract's pictures. Writes `<place>/platform_scalers.json` and prints the table.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.frozen_views import BATCH, FrozenViews, options_of
from benchmarks.probe_tries import MODEL, Heads, Try, answers
from benchmarks.repeated_splits import cells
from mpox.data.manifest import read_manifest
from mpox.data.module import as_they_are
from mpox.data.photos import decoded
from mpox.data.working_picture import TWO_STEP
from mpox.files import replacing, write_json
from mpox.mobile.run.captures import CONDITIONS, Form, taken
from mpox.mobile.run.sampling import sampled
from mpox.model.backbone import build, input_record
from mpox.model.features import STAGES
from mpox.model.frozen import frozen_features
from mpox.model.weights import find

CONTRACT, BILINEAR, AREA, WITHIN = (
    "contract",
    "plain bilinear",
    "area",
    "plain bilinear to 4 times, averaged in the file",
)
LEARNED = (CONTRACT, BILINEAR, AREA)
FACTOR = 4


def pictures(photo: Image.Image, form: Form, random: np.random.Generator) -> np.ndarray:
    """Return the pictures of a photo by each scaler, (4, S, S, 3) uint8."""
    again, ways = taken(photo, random), {one.name.split(" (")[0]: one.picture for one in CONDITIONS}
    large = sampled(again, FACTOR * form.size, Image.Resampling.BILINEAR)
    within = large.reshape(form.size, FACTOR, form.size, FACTOR, 3).mean((1, 3)).round().astype(np.uint8)
    return np.stack([form.picture(again), ways[BILINEAR](again, form), ways[AREA](again, form), within])


def features(views: FrozenViews, root: Path) -> dict[str, Tensor]:
    """Return features (N, F) of all photos by each scaler, computed once."""
    path = views.place / f"features-scalers-{MODEL}.npy"
    if not path.exists():
        manifest = read_manifest(views.place / "runs" / "views-native" / "manifest.parquet")
        record = input_record(f"{MODEL}.in1k")
        form, random = Form(record.image_size, record.interpolation, TWO_STEP), np.random.default_rng(0)
        made: list[np.ndarray] = []
        for name in manifest.loc[manifest["keep"], "path"]:
            with decoded(root / name) as photo:
                made.append(pictures(photo.picture, form, random))
        weights = find(f"{MODEL}.in1k", "bundled", None)
        network = build(f"{MODEL}.in1k", len(views.photos.classes), record, weights, STAGES)
        by_scaler = [as_they_are(one) for one in np.stack(made, axis=1)]
        found = [frozen_features(network, one, BATCH, torch.device("cpu")) for one in by_scaler]
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, torch.stack(found).numpy())
    return dict(zip((*LEARNED, WITHIN), torch.from_numpy(np.load(path)), strict=True))


def main() -> None:
    """Compare, write and print."""
    options = options_of(__doc__, "101").parse_args()
    views = FrozenViews(MODEL, options.data, options.root, options.place)
    asked, widths, targets = features(views, options.root), views.widths(STAGES), views.photos.targets
    learned = {CONTRACT: [asked[CONTRACT]], "three scalers": [asked[name] for name in LEARNED]}
    found: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    rows: list[np.ndarray] = []
    for seed in map(int, options.seeds.split(",")):
        for cell in cells(views.photos, seed):
            rows.append(cell.test)
            kept: Heads = {}
            for taught, several in learned.items():
                for name, one in asked.items():
                    found[taught, name].append(answers(cell, targets, Try(several, [one], widths), kept))
    truth, usual = targets[np.concatenate(rows)], np.exp(np.concatenate(found[CONTRACT, CONTRACT]))
    figures = []
    print("| learned from | asked on | agreement | balanced accuracy | mean, largest abs. Δp |\n|---|---|---|---|---|")
    for (taught, name), parts in found.items():
        chances = np.exp(np.concatenate(parts))
        moved, called = np.abs(chances - usual).max(1), chances.argmax(1)
        accuracy = float(np.mean([np.mean(called[truth == k] == k) for k in np.unique(truth)]))
        row = [float(np.mean(called == usual.argmax(1))), accuracy, float(moved.mean()), float(moved.max())]
        figures.append([taught, name, *row])
        print(f"| {taught} | {name} | {row[0]:.3f} | {row[1]:.3f} | {row[2]:.3f}, {row[3]:.2f} |")
    write_json(options.place / "platform_scalers.json", {"photos": len(truth), "rows": figures})


if __name__ == "__main__":
    main()
