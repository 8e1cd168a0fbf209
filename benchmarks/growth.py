"""How the processor time of a study grows with photos, models and folds."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.commands import generated, run


def measure(place: Path, subjects: int, factor: int, models: Sequence[str], options: Sequence[str]) -> dict[str, Any]:
    """Time a probe study of one model and five folds, then with `factor` times the photos, two models, ten folds.

    Nothing is cached between them; start-up (measured by repeating the finished first) is taken off all. Returns for
    each the factor of work and the factor of time.
    """
    base: dict[str, Any] = {"subjects": subjects, "models": models[:1], "folds": 5}
    cases = {
        "base": base,
        f"photos x{factor}": {**base, "subjects": subjects * factor},
        "models x2": {**base, "models": models[:2]},
        "folds x2": {**base, "folds": 10},
    }
    work = {"base": 1, f"photos x{factor}": factor, "models x2": 2, "folds x2": 2}
    for case in cases.values():
        generated(place / "data", int(case["subjects"]), 2, 256)
    seconds = {name: _study(place, **case, options=options)[0] for name, case in cases.items()}
    start_up = _study(place, **base, options=options)[1]
    net = {name: value - start_up for name, value in seconds.items()}
    return {
        "start_up_s": round(start_up, 2),
        "cases": {
            name: {
                "seconds": round(seconds[name], 2),
                "work": work[name],
                "time": round(net[name] / net["base"], 2),
            }
            for name in cases
        },
    }


def _study(
    place: Path, subjects: int, models: Sequence[str], folds: int, options: Sequence[str]
) -> tuple[float, float]:
    """Return processor seconds of a study from nothing, and of the same command when one of its jobs is done."""
    photos = generated(place / "data", subjects, 2, 256)
    runs = place / f"growth-{time.time_ns()}"
    command = ["-m", *photos.options, f"runs_dir={runs}", "schedule=probe", "n_folds=10", *options]
    full = run("mpox.train", *command, f"model={','.join(models)}", f"fold=range({folds})")
    one = run("mpox.train", *command, f"model={models[0]}", "fold=0")
    return full.processor_seconds, one.processor_seconds
