"""Export finished runs by every recipe, run the files on every engine, and print what they answer and cost as a table.

python -m benchmarks.export_matrix --out <folder> --runs runs/<study> [runs/<study> ...] [--models a,b] [--folds 0,1]
    [--recipes fp32,int8_static] [--engines executorch,web] [--photos 8] [--minutes 5] [--latencies]

Photos are those that the fold's network has not seen (its test photos). Each cell of the table is a file below <folder>
as soon as it is known, so that the command, typed again, does what is missing; with --minutes it begins no further one
after that time. --photos runs the first N alone: instructions, for one, are counted on a single photo. --latencies
takes the time of files that are made, and nothing else: answers can be had beside other work, times need idle cores.
An engine that is not installed is left out by name. Engines: `benchmarks/matrix_engines.py`.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks.matrix_engines import ENGINES, ONNX_ENGINES, TIMED, against
from benchmarks.matrix_table import table
from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.mobile.export.job import facts_of
from mpox.mobile.export.onnx_job import WEIGHT_BITS
from mpox.mobile.export.original import Original, Request, gather_original
from mpox.mobile.file.contract import constants
from mpox.mobile.file.lower import lower
from mpox.mobile.file.onnx import ONNX_RECIPES, export_onnx
from mpox.mobile.file.onnx_layers import layers_of
from mpox.mobile.file.operators import count_operators
from mpox.mobile.int8.quantize import Calibrated
from mpox.mobile.int8.recipes import RecipeOptions, make
from mpox.runs.opened import open_run

RECIPES = ("fp32", "int8_static", "int8_mixed", "int8_qat", "int8_dynamic")


class Matrix:
    """The cells of one fold of one model: its files, made once, and what engines answer."""

    def __init__(self, run: Path, out: Path, photos: int | None = None) -> None:
        self.photos = photos
        self.model, self.fold = run.parent.name, run.name
        self.run, self.place = run, out / run.parent.name / run.name
        self._original: Original | None = None
        self.request = Request(exports_dir=out)

    @property
    def original(self) -> Original:
        """The network and its photos, opened when something is to be made of them."""
        if self._original is None:
            self._original = gather_original(open_run(self.run, device="cpu"), self.request)
        return self._original

    def network(self) -> dict[str, Any]:
        """The network's logits, the photos' classes and the temperature."""
        path = self.place / "network.json"
        if not path.is_file():
            one = self.original
            targets = one.run.photos["target"].to_numpy()[one.test_rows]
            facts = {"temperature": one.rule.temperature, "self_agreement": one.self_agreement}
            write_json(path, {"logits": one.test_logits.tolist(), "targets": targets.tolist(), **facts})
        return read_json(path)

    def file(self, recipe: str, form: str) -> Path:
        """The file of a recipe, made unless it is there; what is known of it is beside it as JSON."""
        path = self.place / f"{recipe}.{form}"
        report = path.with_suffix(f".{form}.json")
        if not report.is_file():
            start = time.monotonic()
            facts = (self._write_onnx if form == "onnx" else self._write_program)(recipe, path)
            write_json(report, {"size_bytes": path.stat().st_size, "seconds": time.monotonic() - start, **facts})
        return path

    def cell(self, recipe: str, engine: str) -> None:
        """Run the file of a recipe on an engine, unless that is known."""
        path = self.place / "cells" / f"{recipe}-{engine}.json"
        if path.is_file():
            return
        file = self.file(recipe, form_of(engine))
        start = time.monotonic()
        pixels = self.original.run.pixels[self.original.test_rows][: self.photos]
        found = ENGINES[engine](file, pixels)
        made = read_json(file.with_suffix(f"{file.suffix}.json"))
        write_json(path, {**made, **found, "cell_seconds": time.monotonic() - start})

    def latency(self, recipe: str, engine: str) -> None:
        """Take the time of a file against the float32 file's, unless that is known or one of them is not made."""
        path = self.place / "latencies" / f"{recipe}-{engine}.json"
        file, reference = (self.place / f"{name}.{form_of(engine)}" for name in (recipe, "fp32"))
        if engine in TIMED and file != reference and file.is_file() and reference.is_file() and not path.is_file():
            write_json(path, against(file, reference))

    def _write_program(self, recipe: str, path: Path) -> dict[str, Any]:
        options = RecipeOptions(self.request.bound, self.request.tune_steps, self.request.tune_rate)
        made = make(recipe, self.original.network, self.original.photos, options)
        facts = facts_of(self.original, self.request, recipe)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without maps: their method shares all weights but the classifier's.
        lower(
            made.network,
            path,
            image_size=facts.image_size,
            temperature=facts.rule.temperature,
            maps=False,
            constants=constants(facts),
            dynamic=made.dynamic,
        )
        return {"contents": asdict(count_operators(path)), "made": made.facts}

    def _write_onnx(self, recipe: str, path: Path) -> dict[str, Any]:
        facts = replace(facts_of(self.original, self.request, recipe), backend="onnxruntime")
        network = self.original.network
        if recipe != "fp32":
            network = Calibrated(network, self.original.photos.calibration, weight_bits=WEIGHT_BITS).converted()
        path.parent.mkdir(parents=True, exist_ok=True)
        export_onnx(network, path, facts, recipe=recipe)
        return {"contents": {"layers": layers_of(path)}, "made": {}}


def form_of(engine: str) -> str:
    """The suffix of the files that an engine runs."""
    return "onnx" if engine in ONNX_ENGINES else "pte"


def runs_in(studies: list[Path], models: list[str], folds: list[str]) -> Iterator[Path]:
    """The finished runs of these folds, model by model; of all models of the studies where none is named."""
    for study in studies:
        for place in sorted(study.glob("*/fold-*")):
            named = not models or place.parent.name in models
            if named and place.name.removeprefix("fold-") in folds and (place / "checkpoint.ckpt").is_file():
                yield place


def main() -> None:
    """Do what is missing and print the table of all that is there."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="folders of studies")
    parser.add_argument("--models", default="", help="names, separated by commas; all of the studies")
    parser.add_argument("--folds", default="0,1")
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--photos", type=int, help="the first N held-out photos of a fold alone")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so long")
    parser.add_argument("--latencies", action="store_true", help="take times, and nothing else: on idle cores")
    given = parser.parse_args()
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * given.minutes
    models = [name for name in given.models.split(",") if name]
    rows = [Matrix(run, given.out, given.photos) for run in runs_in(given.runs, models, given.folds.split(","))]
    asked = given.recipes.split(","), given.engines.split(",")
    for matrix, recipe, engine in product(rows, *asked):
        if engine in ONNX_ENGINES and recipe not in ONNX_RECIPES:
            continue
        if time.monotonic() > end:
            break
        try:
            if given.latencies:
                matrix.latency(recipe, engine)
            else:
                matrix.network()
                matrix.cell(recipe, engine)
        except UserError as error:
            print(f"{matrix.model} {matrix.fold} {recipe} {engine}: {error}", file=sys.stderr)
    print(table(given.out))


if __name__ == "__main__":
    main()
