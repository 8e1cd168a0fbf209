"""Which network should a study hand over? One of its folds, their mean, one trained on everything, or a distilled one.

Repeated cross-validation: the photos are split into five parts, and within four of them ten folds are made as a study
makes them; every candidate comes from those four parts and is judged on the fifth. Frozen features:

    python -m benchmarks.handover --data msid --root <folder> --place <folder for what is kept> --seeds 101,102,103

`--features stages` is the usual head; a larger teacher is tried with `--features last` alone.
Writes `<place>/handover-<features>.json` and prints the table. Fine-tuned networks:
`python -m benchmarks.finetune_tries`.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.frozen_views import FrozenViews, PhotoTable, options_of
from benchmarks.repeated_splits import INNER, Cell, cells, compared, table
from benchmarks.soft_head import fit_soft_head
from benchmarks.upper_training import heads
from mpox.files import write_json
from mpox.model.features import LAST, STAGES
from mpox.model.probe import LinearHead
from mpox.stats.decision import called_positive
from mpox.stats.decision_fit import threshold_for

STUDENT, TEACHER = "tf_efficientnet_lite0", "tf_efficientnet_lite2"
# Augmented views, besides the photo, that a distilled head learns from; its penalty lets it follow its teacher.
VIEWS, FOLLOWING = 3, 0.003
SENSITIVITY = 0.95
BEST, RANDOM, MEAN, FINAL = "best fold by validation", "a random fold", "mean of ten", "trained on all"
DISTILLED, LARGER, FROM_LARGER = "distilled from the mean", "mean of ten, Lite2", "distilled from Lite2's mean"


def candidates(cell: Cell, student: FrozenViews, teacher: FrozenViews | None, kind: str) -> dict[str, Any]:
    """Return `logits` of the test photos by candidate (ten of the random fold), and the `thresholds` of some."""
    photos, widths = student.photos, student.widths(kind)
    features = student.features("plain", kind)
    own = heads(features, photos.targets, cell.train, cell.val, widths=widths)
    rest = np.isin(np.arange(len(photos.targets)), cell.rest)[None]
    penalty = [statistics.median_low(head.l2 for head in own)]
    final = heads(features, photos.targets, rest, rest, penalty, widths)[0]
    on_test = torch.stack([_logits(head, features[cell.test]) for head in own])
    best = _best_by_validation(own, features, photos, cell)
    views = [student.features(name, kind) for name in ("plain", *(f"epoch-{number}" for number in range(VIEWS)))]
    pupil = fit_soft_head(
        torch.cat([view[cell.rest] for view in views]),
        torch.cat([_mean(own, view[cell.rest]) for view in views]),
        FOLLOWING,
    )
    logits = {
        RANDOM: on_test,
        BEST: on_test[best],
        MEAN: _mean(own, features[cell.test]).log(),
        FINAL: _logits(final, features[cell.test]),
        DISTILLED: features[cell.test].double() @ pupil[0].T + pupil[1],
    }
    if teacher is not None:
        larger = teacher.features("plain")
        others = heads(larger, photos.targets, cell.train, cell.val)
        from_larger = fit_soft_head(features[cell.rest], _mean(others, larger[cell.rest]), FOLLOWING)
        logits[LARGER] = _mean(others, larger[cell.test]).log()
        logits[FROM_LARGER] = features[cell.test].double() @ from_larger[0].T + from_larger[1]
    pooled = _pooled_threshold(own, features, photos, cell)
    thresholds = {BEST: _own_threshold(own[best], features, photos, cell.val[best])}
    thresholds |= dict.fromkeys((MEAN, FINAL, DISTILLED), pooled)
    return {"logits": {name: value.numpy() for name, value in logits.items()}, "thresholds": thresholds}


def _logits(head: LinearHead, features: Tensor) -> Tensor:
    return features @ head.weight.T + head.bias


def _mean(networks: Sequence[LinearHead], features: Tensor) -> Tensor:
    """Return the mean of the heads' probabilities (N, C)."""
    return torch.stack([_logits(head, features).double().softmax(1) for head in networks]).mean(0)


def _best_by_validation(own: Sequence[LinearHead], features: Tensor, photos: PhotoTable, cell: Cell) -> int:
    """Return the fold with the highest balanced accuracy on its validation photos; of equal ones the lowest NLL."""

    def merit(k: int) -> tuple[float, float]:
        rows = np.flatnonzero(cell.val[k])
        answers, targets = _logits(own[k], features[rows]).argmax(1).numpy(), photos.targets[rows]
        recalls = [float((answers[targets == c] == c).mean()) for c in np.unique(targets)]
        return float(np.mean(recalls)), -own[k].val_nll

    return max(range(INNER), key=merit)


def _own_threshold(head: LinearHead, features: Tensor, photos: PhotoTable, val: np.ndarray) -> float:
    """Return the threshold of one fold: of its validation photos of mpox, the ceil(0.95 n)-th largest probability."""
    chances = np.sort(_chances(head, features, photos, val))
    return float(chances[len(chances) - math.ceil(SENSITIVITY * len(chances))])


def _pooled_threshold(own: Sequence[LinearHead], features: Tensor, photos: PhotoTable, cell: Cell) -> float:
    """Return the threshold as a study fits it, to the held-out photos of all folds."""
    pairs = zip(own, cell.held_out, strict=True)
    chances = np.concatenate([_chances(head, features, photos, part) for head, part in pairs])
    return threshold_for(chances, np.arange(len(chances)), SENSITIVITY)[0]


def _chances(head: LinearHead, features: Tensor, photos: PhotoTable, part: np.ndarray) -> np.ndarray:
    """Return the probabilities of mpox of the photos of mpox in `part` (bool, N)."""
    rows = np.flatnonzero(part & (photos.targets == photos.positive))
    return np.asarray(_logits(head, features[rows]).softmax(1)[:, photos.positive].numpy())


def measure(
    student: FrozenViews, teacher: FrozenViews | None, seeds: Sequence[int], kind: str = STAGES
) -> dict[str, Any]:
    """Return the candidates' figures over all seeds, and what their thresholds reach on other photos."""
    photos = student.photos
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    called: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seed in seeds:
        rows, parts, hits = [], defaultdict(list), defaultdict(list)
        for cell in cells(photos, seed):
            found = candidates(cell, student, teacher, kind)
            rows.append(cell.test)
            for name, logits in found["logits"].items():
                parts[name].append(logits)
            for name, threshold in found["thresholds"].items():
                chances = torch.tensor(found["logits"][name]).softmax(1).numpy()
                hits[name].append(called_positive(chances, photos.positive, threshold))
        every = np.concatenate(rows)
        is_mpox = photos.targets[every] == photos.positive
        for name, several in parts.items():
            joined = np.concatenate(several, axis=-2)
            pairs[name] += [(every, one) for one in (joined if joined.ndim == 3 else joined[None])]
        for name, yes in hits.items():
            answers = np.concatenate(yes)
            called[name].append((float(answers[is_mpox].mean()), float(1 - answers[~is_mpox].mean())))
    figures = compared(pairs, photos, BEST)
    for name, each in called.items():
        figures[name]["at_threshold"] = " / ".join(f"{value:.3f}" for value in np.mean(each, axis=0))
    return {"seeds": list(seeds), "photos": len(photos.targets), "groups": len(set(photos.groups)), "figures": figures}


def main() -> None:
    """Measure, write and print."""
    parser = options_of(__doc__, "101,102,103,104,105,106")
    parser.add_argument("--features", choices=(LAST, STAGES), default=STAGES)
    options = parser.parse_args()
    student, larger = (FrozenViews(name, options.data, options.root, options.place) for name in (STUDENT, TEACHER))
    teacher = larger if options.features == LAST else None
    result = measure(student, teacher, [int(seed) for seed in options.seeds.split(",")], options.features)
    write_json(options.place / f"handover-{options.features}.json", result)
    print(table(result["figures"], BEST, {"sensitivity / specificity at its threshold": "at_threshold"}))


if __name__ == "__main__":
    main()
