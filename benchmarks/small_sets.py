"""Does a small set need more epochs? Fine-tuning on parts of a photo set, for 10, 20 and 40 epochs, judged on the rest.

    python -m benchmarks.small_sets --root <folder of MSID> --place <folder for what is kept> --seeds 301,302

Writes `<place>/small_sets.json` as it goes: balanced accuracy and NLL by number of photos, start and epochs.
"""

import statistics
import warnings
from collections import defaultdict

import numpy as np

from benchmarks.frozen_views import FrozenViews, PhotoTable, options_of
from benchmarks.upper_training import Recipe, fit, heads, logits
from mpox.files import write_json
from mpox.stats.metrics import weighted_metrics

MODEL = "tf_efficientnet_lite0"
SIZES, EPOCHS = (60, 120), (10, 20, 40)
# Photos that each training is judged on, and the share of its own that choose the probe's penalty.
JUDGED, VALIDATION = 300, 1 / 9


def parts(photos: PhotoTable, n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return train and validation masks (N) of about `n` photos, whole groups of them, and the rows that judge."""
    random = np.random.default_rng([seed, n])
    _, codes, sizes = np.unique(photos.groups, return_inverse=True, return_counts=True)
    order = random.permutation(len(sizes))
    chosen = order[np.cumsum(sizes[order]) <= n]
    val = np.isin(codes, chosen[: max(1, round(len(chosen) * VALIDATION))])
    own = np.isin(codes, chosen)
    return own & ~val, val, np.sort(random.permutation(np.flatnonzero(~own))[:JUDGED])


def main() -> None:
    """Measure, write and print."""
    parser = options_of(__doc__, "301,302")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightning")
    views = FrozenViews(MODEL, options.data, options.root, options.place)
    photos, figures = views.photos, defaultdict(list)
    for seed in map(int, options.seeds.split(",")):
        for n in SIZES:
            train, val, judged = parts(photos, n, seed)
            head = heads(views.features("plain"), photos.targets, train[None], val[None])[0]
            for start, epochs in [("the probe", e) for e in EPOCHS] + [("a random head", e) for e in EPOCHS]:
                network = fit(
                    views, np.flatnonzero(train), Recipe(epochs=epochs), head if start == "the probe" else None, seed
                )
                ones = np.ones((1, len(judged)), "float32")
                found = weighted_metrics(
                    logits(network, views, judged).numpy(), photos.targets[judged], ones, photos.positive
                )
                for name in ("balanced_accuracy", "nll"):
                    figures[f"{n} photos, from {start}, {epochs} epochs: {name}"].append(float(found[name][0]))
                write_json(options.place / "small_sets.json", dict(figures))
    for name, values in sorted(figures.items()):
        print(f"{name} {statistics.mean(values):.3f}")


if __name__ == "__main__":
    main()
