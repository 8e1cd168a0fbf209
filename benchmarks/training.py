"""Throughput of training against its limit and against the usual loop; see `benchmarks.pace`."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.commands import Photos, run
from mpox.files import read_json


def measure(
    place: Path,
    photos: Photos,
    models: Sequence[str],
    epochs: int,
    workers: Sequence[int],
    clock: str,
    options: Sequence[str],
) -> dict[str, Any]:
    """Fine-tune each model for `epochs` epochs on one fold by the real command.

    Returns for each model the median over steps of photos a second of each loop, of the ratio to the bare loop and to
    the faster of the plain loops, and the seconds a step of the bare loop's stages.
    """
    found = {}
    for model in models:
        path = place / f"pace-{model}.json"
        callback = (
            f"+callbacks.pace={{_target_: benchmarks.pace.Pace, path: '{path}', photos: '{photos.root}', "
            f"workers: {list(workers)}, clock: {clock}}}"
        )
        run(
            "mpox.train", *photos.options, f"model={model}", "weights=none", "schedule=finetune", "n_folds=10",
            f"schedule.finetune.epochs={epochs}", "logger=csv", f"runs_dir={place}/runs", "study=training",
            "overwrite=true", callback, *options,
        )  # fmt: skip
        found[model] = summary(read_json(path))
    return found


def summary(paced: dict[str, Any]) -> dict[str, Any]:
    """Turn what `Pace` wrote into medians over steps."""
    rates: dict[str, list[float]] = paced["photos_per_second"]
    plain = [values for name, values in rates.items() if name.startswith("plain")]
    result: dict[str, Any] = {
        "photos_per_second": {name: round(statistics.median(values), 2) for name, values in rates.items()},
        "of_bare": _ratio(rates["mpox"], rates["bare"]),
        "seconds_per_step": paced["seconds_per_step"],
    }
    if plain:
        result["of_plain"] = _ratio(rates["mpox"], [max(step) for step in zip(*plain, strict=True)])
    return result


def _ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Median over steps of the ratio: both of a ratio ran within seconds of one another."""
    return round(statistics.median(a / b for a, b in zip(one, other, strict=True)), 3)
