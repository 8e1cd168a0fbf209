"""The commands that are measured, started as a user would start them."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mpox.data import synthetic
from mpox.errors import UserError
from mpox.files import read_json

# Stages of a job (environment.json) in which it trains; the rest of its time is overhead.
FITTING = ("probe", "finetune")


@dataclass(frozen=True)
class Photos:
    """A folder `<class>/<photo>` and the command-line options that name it."""

    root: Path

    @property
    def options(self) -> list[str]:
        """Overrides of mpox.train; copies in the photos are not this command's business."""
        return ["data=folder", f"data.root={self.root}", "data_guard.search=fast", "data_guard.conflicts=keep"]


def generated(place: Path, subjects: int, photos_per_subject: int, size: int) -> Photos:
    """Generate (once) synthetic photos, `subjects` a class, `size` pixels high, below `place`."""
    root = place / f"photos-{subjects}x{photos_per_subject}-{size}"
    if not root.exists():
        draft = root.with_suffix(".part")
        options = {"subjects_per_class": subjects, "photos_per_subject": photos_per_subject, "size": size}
        draft.mkdir(parents=True)
        synthetic.generate(draft, **options, seed=0)
        for mask in [*draft.glob("masks/*/*"), *draft.glob("*.csv")]:
            mask.unlink()
        for folder in [*draft.glob("masks/*"), draft / "masks"]:
            folder.rmdir()
        draft.rename(root)
    return Photos(root)


def start(module: str, *arguments: str, threads: int | None = None) -> subprocess.Popen[str]:
    """Start `python -m module` with W&B offline, on `threads` threads (None: as PyTorch likes)."""
    environment = {**os.environ, "WANDB_MODE": "offline", "COLUMNS": "160"}
    if threads:
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """Wall seconds of a command; processor seconds of it and all it started, the largest memory (bytes) of one of them;
    and what it printed.
    """

    seconds: float
    processor_seconds: float
    largest_memory: int
    printed: str


def run(module: str, *arguments: str, threads: int | None = None) -> Ran:
    """Run `python -m module` to its end; UserError where it failed."""
    begin = time.perf_counter()
    process = start(module, *arguments, threads=threads)
    printed = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    if process.returncode != 0:
        raise UserError(f"python -m {module} {' '.join(arguments)} failed: {' '.join(printed.split())[-600:]}")
    return Ran(seconds, used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss, printed)


def fit_seconds(study: Path) -> list[float]:
    """Return the seconds in which each finished job of a study trained."""
    stages: list[dict[str, Any]] = [read_json(path)["seconds"] for path in sorted(study.glob("*/*/environment.json"))]
    return [sum(laps.get(name, 0.0) for name in FITTING) for laps in stages]


def predictions(study: Path) -> pd.DataFrame:
    """Return all predictions of a study, one row a model, fold, split and photo, sorted by them."""
    tables = [
        pd.read_parquet(path).assign(model=path.parents[1].name) for path in study.glob("*/*/predictions.parquet")
    ]
    return pd.concat(tables).sort_values(["model", "fold", "split", "photo_id"], ignore_index=True)
