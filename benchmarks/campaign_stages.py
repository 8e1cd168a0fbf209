"""The stages that a campaign disturbs: what is typed, what it starts from, and what of its files is a result."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mpox.data import synthetic

MODEL = "mobilenetv3_small_100"
JOB = (
    *(f"model={MODEL}", "model.timm_name=test_efficientnet.r160_in1k", "weights=none", "n_folds=3", "logger=none"),
    *("image_size=64", "threads=1", "batch_size=8", "trainer=cpu", "data=folder", "data.root=photos", "study=s"),
)
FINETUNE = (*JOB, "schedule=finetune", "schedule.finetune.epochs=6", "callbacks=early_stopping")
PROBE = (*JOB, "schedule=probe")
# Names of files that a process keeps for itself while it writes, and of folders on their way to their place.
TEMPORARY = (".mpox-part", ".mpox-scratch", ".mpox-lock", ".part", ".tmp", ".new", ".old", ".next")
# Files whose content may differ, or which only spare work: they are not held against those of the clean command.
VOLATILE = frozenset(
    {"status.json", "environment.json", "train.log", "audit.json", "traceback.txt", "multirun.yaml", "SHA256SUMS"}
)
# Keys of JSON files that say when, how long and where.
MOMENTS = frozenset(
    {
        "created",
        "chosen_at",
        "at",
        "seconds",
        "latency_ms",
        "fp32_latency_ms",
        "latency_against_fp32",
        "datePublished",
        "root",
    }
)


@dataclass(frozen=True)
class Stage:
    """One command (`mpox.<door>` with `arguments`), and the stages before it whose end it starts from.

    `results`: patterns of the files that must come out the same.
    """

    name: str
    door: str
    arguments: tuple[str, ...]
    after: tuple[str, ...] = ()
    results: tuple[str, ...] = ("runs/s/**/*",)


RUN = f"runs/s/{MODEL}/fold-0"
AUDIT = ("data=folder", "data.root=photos", "output=audit")
EXPORT = (f"run={RUN}", "recipe=int8_static", "bound.agreement=0", "bound.balanced_accuracy=1", "logger.mode=disabled")
STAGES = {
    stage.name: stage
    for stage in (
        Stage("preparation", "train", (*PROBE, "fold=0")),
        Stage("probe", "train", ("-m", *PROBE, "fold=0,1,2")),
        Stage("fine-tuning", "train", (*FINETUNE, "fold=0")),
        Stage("replacing", "train", (*FINETUNE, "fold=0", "seed=1", "overwrite=true"), ("fine-tuning",)),
        Stage("export", "export", (*EXPORT, "overwrite=true"), ("preparation",), ("exports/**/*",)),
        Stage("curate", "curate", AUDIT, (), ("audit/**/*",)),
        Stage("apply", "curate", ("apply", "undecided=suggested", "output=audit"), ("curate",), ("audit/**/*",)),
        Stage(
            "release",
            "curate",
            ("release", "to=dataset", "about.name=mine", "output=audit", "overwrite=true", "pictures.size=64"),
            ("curate", "apply"),
            ("dataset/**/*", "audit/release_key.csv"),
        ),
        Stage(
            "evaluate", "evaluate", ("study=s", "data.root=other"), ("preparation", "probe"), ("runs/s/external/**/*",)
        ),
        Stage("compare", "compare", ("study=s", "resamples=1000", "logger.mode=disabled"), ("probe",)),
    )
}


def draw_photos(place: Path) -> None:
    """Write two sets of small synthetic photos, `photos` and `other`, one folder a class."""
    for name, seed in (("photos", 0), ("other", 1)):
        synthetic.generate(place / name, subjects_per_class=3, photos_per_subject=2, size=96, seed=seed)
        shutil.rmtree(place / name / "masks")


def results(stage: Stage, place: Path) -> dict[str, str]:
    """Return path and digest of every result of a stage."""
    found = {path for pattern in stage.results for path in place.glob(pattern) if path.is_file()}
    kept = [path for path in found if path.name not in VOLATILE and not _is_hidden(path.relative_to(place))]
    return {path.relative_to(place).as_posix(): digest(path) for path in sorted(kept)}


def leftovers(place: Path, clean: set[str]) -> list[str]:
    """Return what lies in a place, or in its folder for temporary files, and would not after a clean command."""
    left = []
    for path in place.rglob("*"):
        name = path.relative_to(place).as_posix()
        spared = ".cache/" in name and not path.name.startswith(".")  # notes of what was seen only spare work
        if path.name.endswith(TEMPORARY) or (name.startswith("tmp/") or (name not in clean and not spared)):
            left.append(name)
    return left


def listing(place: Path) -> set[str]:
    """Return the paths of all files and folders below a place."""
    return {path.relative_to(place).as_posix() for path in place.rglob("*")}


def digest(path: Path) -> str:
    """Hash what a file says: tables and tensors bit for bit, JSON without times, anything else by its bytes."""
    readers: dict[str, Callable[[Path], bytes]] = {
        ".parquet": _table,
        ".ckpt": _tensors,
        ".json": _json,
        ".html": _page,
    }
    return hashlib.sha256(readers.get(path.suffix, Path.read_bytes)(path)).hexdigest()


def _table(path: Path) -> bytes:
    table = pd.read_parquet(path)
    return repr(list(table.dtypes.items())).encode() + pd.util.hash_pandas_object(table).to_numpy().tobytes()


def _tensors(path: Path) -> bytes:
    content = torch.load(path, map_location="cpu", weights_only=True)
    tensors = content.pop("state_dict")
    return repr(content).encode() + b"".join(
        name.encode() + tensors[name].numpy().tobytes() for name in sorted(tensors)
    )


def _json(path: Path) -> bytes:
    return json.dumps(_without_moments(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True).encode()


def _page(path: Path) -> bytes:
    return re.sub(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?", b"", path.read_bytes())


def _without_moments(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_moments(part) for key, part in value.items() if key not in MOMENTS}
    return [_without_moments(part) for part in value] if isinstance(value, list) else value


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
