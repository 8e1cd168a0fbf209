"""Whether the explanations of one run can be believed: every measure of this room on a sample of its photos."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from mpox.model.backbone import PhotoClassifier
from mpox.progress import watched
from mpox.runs.opened import OpenedRun, logits_of
from mpox.stats import printed
from mpox.stats.intervals import Interval, mean_interval
from mpox.xai import baselines
from mpox.xai.cams import Explainer, shown
from mpox.xai.faithfulness import deletion_insertion, road
from mpox.xai.localisation import MEASURES, lesion_masks
from mpox.xai.sanity import Factory, randomisation
from mpox.xai.stability import between_models, recompressed, shifted

# Baselines are as coarse as the map, but no finer than this where a map has a value a pixel.
FINEST_GRID = 14
# Above this the map hardly depends on the weights: it kept its order although everything learned was lost.
SANE = 0.5
# Below this many independent photos a percentile interval is too narrow to compare by.
FEWEST = 10
Report = dict[str, Any]


def sample_rows(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw at most `count` of `rows` without looking at the answers, in order (int64)."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))


def examine(
    run: OpenedRun,
    factory: Factory,
    rows: np.ndarray,
    *,
    siblings: Sequence[PhotoClassifier] = (),
    road_photos: int,
    batch_size: int,
    seed: int = 0,
) -> tuple[Report, pd.DataFrame]:
    """Measure the maps of the predicted class on the photos `rows`; `siblings` are the models of other folds.

    Each figure is a mean over photos with the 95 % interval over groups; `differences` are paired, map minus baseline,
    on the same photos. ROAD, which is slow, is measured on `road_photos` of them at random. Returned with the map's own
    scores, one row a photo: photo_id and one column a measure, NaN where it was not measured.
    """
    images = run.images(rows)
    groups = run.photos["group"].to_numpy()[rows]
    targets = logits_of(run.network, images, batch_size).argmax(1)
    explainer = factory(run.network, images)
    raw = _batched(explainer, images, targets, batch_size)
    size, grid = images.shape[-1], min(FINEST_GRID, max(2, raw.shape[-1]))
    maps = {
        "map": shown(raw, size),
        "random": shown(baselines.random_maps(len(rows), grid, seed), size),
        "edges": shown(baselines.edge_maps(run.pixels[rows], grid), size),
        "centre": shown(baselines.centre_maps(len(rows), grid), size),
    }
    scores: dict[str, dict[str, np.ndarray]] = {"deletion": {}, "insertion": {}, "road": {}}
    few = sample_rows(np.arange(len(rows)), road_photos, seed)
    for name, kind in watched(maps.items(), "deletion, insertion, ROAD", len(maps)):
        deleted, inserted = deletion_insertion(run.network, images, kind, targets, seed=seed, batch=batch_size)
        scores["deletion"][name], scores["insertion"][name] = deleted, inserted
        scores["road"][name] = np.full(len(rows), np.nan)
        scores["road"][name][few] = road(run.network, images[few], kind[few], targets[few], seed=seed)
    masks = lesion_masks(run.photos.iloc[rows], run.root, size)
    if masks.any():
        for measure, function in MEASURES.items():
            scores[measure] = {name: function(kind, masks) for name, kind in maps.items()}
    report: Report = {
        "run": run.name,
        "method": explainer.method,
        "layer": explainer.layer,
        "photos": len(rows),
        "photos_road": min(road_photos, len(rows)),
        "photos_with_mask": int(masks.any((1, 2)).sum()),
        "measures": {measure: _compared(found, groups) for measure, found in scores.items()},
        "randomisation": [
            {"depth": depth, "rank_correlation": asdict(mean_interval(values, groups))}
            for depth, values in randomisation(run.network, factory, images, targets, seed=seed).items()
        ],
        "stability": {
            "shift": asdict(mean_interval(shifted(explainer, images, targets), groups)),
            "jpeg": asdict(mean_interval(recompressed(explainer, images, targets), groups)),
        },
    }
    if siblings:
        others = [_batched(factory(one, images), images, targets, batch_size) for one in siblings]
        agreement = mean_interval(between_models([raw, *others]), groups)
        report["agreement"] = {"models": len(others) + 1, "rank_correlation": asdict(agreement)}
    report["verdicts"] = verdicts(report)
    if run.caution:
        report["caution"] = run.caution
    columns = {measure: pd.Series(found["map"]) for measure, found in scores.items()}
    table = pd.DataFrame({"photo_id": run.photos["photo_id"].to_numpy()[rows], **columns})
    return report, table


def verdicts(report: Report) -> list[str]:
    """Say in plain words what the figures of an `examine` report mean."""
    said = []
    better = {"deletion": -1, "insertion": 1, "road": 1, "energy_in_mask": 1, "pointing_game": 1, "best_iou": 1}
    for measure, found in report["measures"].items():
        for baseline in ("random", "edges", "centre"):
            if found["groups"] < FEWEST:
                few = f"{found['groups']} independent photos are too few to compare by"
                said.append(f"{measure}: {few if found['groups'] else 'not measured'}.")
                break
            apart = Interval.read(found["differences"][baseline])
            low, high = sorted(better[measure] * (end or 0.0) for end in (apart.low, apart.high))
            if low > 0:
                word = "beats"
            elif high < 0:
                word = "is WORSE than"
            else:
                word = "is not shown to differ from"
            said.append(f"{measure}: the map {word} {_NAMES[baseline]}.")
    last = Interval.read(report["randomisation"][-1]["rank_correlation"])
    kept = last.value if last.high is None else last.high
    if kept is None:
        said.append("randomisation: not measured.")
    elif kept < SANE:
        said.append("randomisation: the map changes when the model forgets what it learned, as it must.")
    else:
        said.append(
            "randomisation: the map HARDLY DEPENDS on what the model learned: it shows the photo, not the model."
        )
    return said


_NAMES = {"random": "random maps", "edges": "an edge detector", "centre": "always pointing at the centre"}


def _compared(found: dict[str, np.ndarray], groups: np.ndarray) -> Report:
    mine = groups[: len(found["map"])]
    differences = {
        name: asdict(mean_interval(found["map"] - values, mine)) for name, values in found.items() if name != "map"
    }
    figures = {name: asdict(mean_interval(values, mine)) for name, values in found.items()}
    return {**figures, "differences": differences, "groups": len(set(mine[np.isfinite(found["map"])]))}


def _batched(explainer: Explainer, images: Tensor, targets: Tensor, batch_size: int) -> np.ndarray:
    parts = zip(images.split(batch_size), targets.split(batch_size), strict=True)
    return np.concatenate([explainer(some, wanted) for some, wanted in parts])


def as_markdown(report: Report) -> str:
    """Write an `examine` report to be read: verdicts first, then every figure."""
    lines = [
        f"# Can these explanations be believed? {report['run']}",
        "",
        "Research software. Not a medical device, not a diagnosis.",
        "",
        *(
            (f"**{report['caution']}** What is measured here are maps of photos that it has learned.", "")
            if "caution" in report
            else ()
        ),
        f"{report['method']} at `{report['layer']}`, {report['photos']} photos "
        f"(ROAD: {report['photos_road']}; with a lesion mask: {report['photos_with_mask']}). "
        "Means with 95 % intervals over groups of photos. Deletion: lower is better; all others: higher.",
        "",
        *(f"- {verdict}" for verdict in report["verdicts"]),
        "",
        "| | map | random | edges | centre |",
        "|---|---|---|---|---|",
    ]
    for measure, found in report["measures"].items():
        lines.append(f"| {measure} | " + " | ".join(_written(found[name]) for name in ("map", *_NAMES)) + " |")
    lines += ["", "| rank correlation of the map with itself after … | |", "|---|---|"]
    lines += [
        f"| layers from depth {entry['depth']:g} (1 the head, 0 the input) were shuffled | "
        f"{_written(entry['rank_correlation'])} |"
        for entry in report["randomisation"]
    ]
    lines += [f"| {name} | {_written(found)} |" for name, found in report["stability"].items()]
    if agreement := report.get("agreement"):
        models = agreement["models"]
        which = f"this model and {models - 1} folds' models" if "caution" in report else f"{models} folds' models"
        lines.append(f"| agreement of {which} | {_written(agreement['rank_correlation'])} |")
    return "\n".join([*lines, ""])


def _written(interval: dict[str, Any]) -> str:
    return printed.interval(Interval.read(interval))
