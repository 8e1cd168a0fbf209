"""What was tried to make fine-tuning better, and the hand-overs of fine-tuned networks: repeated cross-validation.

Splits are those of other seeds than the reported ones. Every training starts from the probe's head and sees the same
augmented views; the layers that all of them freeze are run once (`benchmarks.frozen_views`).

    python -m benchmarks.finetune_tries --root <folder of MSID> --place <folder for what is kept> --seeds 201,202

Each training leaves a file below `<place>/trained`, so that a stopped run goes on. `--report` only reads them.
"""

import itertools
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.frozen_views import BATCH, FLIPS, FrozenViews, as_maps, options_of
from benchmarks.repeated_splits import Cell, cells, compared, table
from benchmarks.upper_training import Recipe, fit, heads, logits
from mpox.files import replacing, write_json
from mpox.model.features import LAST, STAGES
from mpox.model.probe import LinearHead

MODEL = "tf_efficientnet_lite0"
DEFAULT = "default"
RECIPES = {
    DEFAULT: Recipe(),
    "last blocks only": Recipe(frozen_depth=0.7),
    "mixup": Recipe(mix="mixup"),
    "cutmix": Recipe(mix="cutmix"),
    "20 epochs": Recipe(epochs=20),
    "L2-SP": Recipe(anchor=0.01),
    "label smoothing 0.1": Recipe(label_smoothing=0.1),
    "5 epochs": Recipe(epochs=5),
    "depthwise kernels": Recipe(depthwise="train"),
    "trained at the test size": Recipe(cut=224),
    "stages": Recipe(features=STAGES),
    "stages with mixup": Recipe(features=STAGES, mix="mixup"),
    "stages with cutmix": Recipe(features=STAGES, mix="cutmix"),
    "stages with 5 epochs": Recipe(features=STAGES, epochs=5),
    "stages with last blocks only": Recipe(features=STAGES, frozen_depth=0.7),
    "stages with last blocks only for 5 epochs": Recipe(features=STAGES, frozen_depth=0.7, epochs=5),
}
# Folds of the ten whose networks are fine-tuned, for their mean and for what it teaches.
TEACHERS = (0, 3, 6)
FOLDS, DISTILLED, STUDENT_OF = "a fold's network", "distilled", "distilled from the mean of three"
PROBE = "probe"
# What each table of the report compares with.
REFERENCES = {"default": DEFAULT, "recipes": DEFAULT, "against_the_probe": PROBE, "handovers": FOLDS}
SIDE = "side-256"
TESTED = (*FLIPS, SIDE)


def start(views: FrozenViews, cell: Cell, kind: str = LAST) -> tuple[list[LinearHead], LinearHead]:
    """Return the probe's heads of the ten folds, and the one of all photos but the test's, by their median penalty."""
    features, targets, widths = views.features("plain", kind), views.photos.targets, views.widths(kind)
    own = heads(features, targets, cell.train, cell.val, widths=widths)
    rest = np.isin(np.arange(len(targets)), cell.rest)[None]
    return own, heads(features, targets, rest, rest, [statistics.median_low(head.l2 for head in own)], widths)[0]


class Trainings:
    """The trainings of one cell, each kept as a file of test logits in every view, and its seconds."""

    def __init__(self, views: FrozenViews, cell: Cell) -> None:
        self.views, self.cell = views, cell
        self._starts: dict[str, tuple[list[LinearHead], LinearHead]] = {}

    def path(self, name: str) -> Path:
        """Return where the training `name` is kept."""
        cell = self.cell
        return self.views.place / "trained" / f"{cell.seed}-{cell.outer}-{name.replace(' ', '_')}.npz"

    def done(self, name: str) -> dict[str, np.ndarray] | None:
        """Return a kept training: logits (n, C) by view, `seconds`; None where it has not been run."""
        if not self.path(name).exists():
            return None
        with np.load(self.path(name)) as content:
            return {key: content[key] for key in content.files}

    def run(self, name: str) -> None:
        """Run one training, a recipe's or `fold-<k>` or `distilled`, unless it is there."""
        if self.path(name).exists():
            return
        recipe = RECIPES.get(name, Recipe())
        folds, final = self._start(recipe.features)
        soft, rows, head = None, self.cell.rest, final
        began = time.process_time()
        if name.startswith("fold-"):
            fold = int(name.removeprefix("fold-"))
            rows, head = np.flatnonzero(self.cell.train[fold]), folds[fold]
        elif name == DISTILLED:
            for fold in TEACHERS:
                self.run(f"fold-{fold}")
            began = time.process_time()
            taught = [self._taught(epoch) for epoch in range(recipe.epochs)]
            soft = taught.__getitem__
        network = fit(self.views, rows, recipe, head, self.cell.seed, soft)
        found: dict[str, Any] = {view: logits(network, self.views, self.cell.test, view).numpy() for view in TESTED}
        found["seconds"] = np.array(time.process_time() - began)
        if name.startswith("fold-"):
            torch.save(network.state_dict(), self.path(name).with_suffix(".pt"))
        with replacing(self.path(name)) as temporary, temporary.open("wb") as file:
            np.savez(file, **found)

    def probe(self, kind: str) -> np.ndarray:
        """Return the logits (n, C) of the probe on features of a kind, of the test photos."""
        head = self._start(kind)[1]
        return np.asarray(self.views.features("plain", kind)[self.cell.test] @ head.weight.T + head.bias)

    def _start(self, kind: str) -> tuple[list[LinearHead], LinearHead]:
        if kind not in self._starts:
            self._starts[kind] = start(self.views, self.cell, kind)
        return self._starts[kind]

    @torch.no_grad()
    def _taught(self, epoch: int) -> Tensor:
        """Return the mean of the teachers' probabilities (N, C) in the view of an epoch; test photos have none."""
        maps = self.views.maps(f"epoch-{epoch}")
        shares = torch.zeros(len(maps), len(self.views.photos.classes))
        for fold in TEACHERS:
            network = self.views.network().eval()
            network.load_state_dict(torch.load(self.path(f"fold-{fold}").with_suffix(".pt"), weights_only=True))
            for k in range(0, len(self.cell.rest), BATCH):
                rows = self.cell.rest[k : k + BATCH]
                shares[rows] += network(as_maps(maps[rows])).softmax(1) / len(TEACHERS)
        return shares


def _mean_log(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the log of the mean of probabilities of several logits (n, C)."""
    stacked = torch.from_numpy(np.stack(parts)).double().softmax(2).mean(0)
    return np.asarray(stacked.clamp_min(1e-12).log().numpy())


def report(views: FrozenViews, seeds: Sequence[int], outer: int) -> dict[str, Any]:
    """Return the figures of everything that is there: recipes against the default, and the hand-overs."""
    everything = [
        Trainings(views, cell) for seed in seeds for cell in itertools.islice(cells(views.photos, seed), outer)
    ]
    result: dict[str, Any] = {}
    gains: dict[str, Any] = {}
    for name in (name for name in RECIPES if name != DEFAULT):
        pairs, spent = defaultdict(list), defaultdict(list)
        for one in everything:
            default, other = one.done(DEFAULT), one.done(name)
            if default and other:
                for label, found in ((DEFAULT, default), (name, other)):
                    pairs[label].append((one.cell.test, found["plain"]))
                    spent[label].append(float(found["seconds"]))
                pairs[PROBE].append((one.cell.test, one.probe(LAST)))
        if pairs:
            row = _joined(pairs, views, DEFAULT)[name]
            gains[name] = _joined(pairs, views, PROBE)[name]
            result[name] = row | {"trainings": len(spent[name]), "seconds": round(float(np.mean(spent[name])), 1)}
            result[name]["default_seconds"] = round(float(np.mean(spent[DEFAULT])), 1)
    pairs = defaultdict(list)
    for one in everything:
        if usual := one.done(DEFAULT):
            pairs[DEFAULT].append((one.cell.test, usual["plain"]))
            pairs["flips at test time"].append((one.cell.test, _mean_log([usual[view] for view in FLIPS])))
            pairs["tested at 256 pixels"].append((one.cell.test, usual[SIDE]))
            pairs[PROBE].append((one.cell.test, one.probe(LAST)))
            pairs["probe, stages"].append((one.cell.test, one.probe(STAGES)))
    found_ = _joined(pairs, views, DEFAULT) if pairs else {}
    handed: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for one in everything:
        parts = [one.done(f"fold-{fold}") for fold in TEACHERS]
        all_, pupil = one.done(DEFAULT), one.done(DISTILLED)
        if all(parts) and all_ and pupil:
            test = one.cell.test
            folds = [part["plain"] for part in parts if part]
            handed[FOLDS].append((test, np.stack(folds)))
            handed["mean of three folds"].append((test, _mean_log(folds)))
            handed["trained on all"].append((test, all_["plain"]))
            handed[STUDENT_OF].append((test, pupil["plain"]))
    hand = _joined(handed, views, FOLDS) if handed else {}
    tables = {"default": found_, "recipes": result, "against_the_probe": gains, "handovers": hand}
    return {"seeds": list(seeds), "outer": outer, **tables}


def _joined(
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]], views: FrozenViews, reference: str
) -> dict[str, dict[str, Any]]:
    """Pool the cells of each candidate before it is scored: one cell's test photos are few."""
    pooled: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for name, several in pairs.items():
        rows = np.concatenate([rows for rows, _ in several])
        joined = np.concatenate([part for _, part in several], axis=-2)
        pooled[name] = [(rows, one) for one in (joined if joined.ndim == 3 else joined[None])]
    return compared(pooled, views.photos, reference)


def plan(views: FrozenViews, seeds: Sequence[int], outer: int, names: Sequence[str]) -> Iterator[tuple[Trainings, str]]:
    """Yield the trainings: each name on every cell before the next name."""
    for name, one in itertools.product(names, _trainings(views, seeds, outer)):
        yield one, name


def _trainings(views: FrozenViews, seeds: Sequence[int], outer: int) -> list[Trainings]:
    return [Trainings(views, cell) for seed in seeds for cell in itertools.islice(cells(views.photos, seed), outer)]


def main() -> None:
    """Train what is asked for, then report."""
    parser = options_of(__doc__, "201,202")
    parser.add_argument("--outer", type=int, default=2, help="outer parts of each seed, of five")
    parser.add_argument("--names", help="trainings, separated by commas; all of them otherwise")
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightning")
    views = FrozenViews(MODEL, options.data, options.root, options.place)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    (options.place / "trained").mkdir(parents=True, exist_ok=True)
    names = options.names.split(",") if options.names else [*RECIPES, DISTILLED]
    for training, name in [] if options.report else plan(views, seeds, options.outer, names):
        training.run(name)
        print(f"{training.cell.seed}-{training.cell.outer} {name}", flush=True)
    result = report(views, seeds, options.outer)
    write_json(options.place / "finetune_tries.json", result)
    for part, reference in REFERENCES.items():
        print(f"\n{part}\n{table(result[part], reference)}")


if __name__ == "__main__":
    main()
