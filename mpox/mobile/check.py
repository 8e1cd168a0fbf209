"""Test an exported model, and what an app makes of its golden photos, with nothing but the runtime.

python -m mpox.mobile.check exports/<name>                  the files themselves
python -m mpox.mobile.check exports/<name> --app <folder>   and an app's own results

What an app puts into its folder, any of them: `photo-<k>.f32`, the tensor it gave the model (little-endian float32, as
laid out in memory; `photo-<k>.u8` where the file takes bytes) or the same as `.npy`; `probabilities.json`, an object of
name to list; its copy of the model.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpox.console import accept_every_letter, errors_console, results_console
from mpox.errors import UserError
from mpox.files import read_json, sha256_of
from mpox.mobile.file.contract import CONTRACT_FILE, RUNNABLE
from mpox.mobile.file.input_tensor import PLANES
from mpox.mobile.file.package import SUMS_FILE, recorded_sums
from mpox.mobile.run.golden import AS_AGREED, GOLDEN, Golden, read_golden, versions
from mpox.mobile.run.onnx_model import OnnxModel
from mpox.mobile.run.runtime import PhoneModel
from mpox.places import inside

# What can be run here, by backend.
Runnable = PhoneModel | OnnxModel
OPENED: dict[str, type[Runnable]] = {RUNNABLE: PhoneModel, "onnxruntime": OnnxModel}
# Of a tensor's file, and the numbers in it.
ENDINGS = {".f32": "<f4", ".u8": "u1", ".npy": None}
# How far a tensor may be from the agreed one on average, in levels of 0..255: rounding, and a decoder's.
TENSOR_LEVELS = 0.75
# How far probabilities may be: other processors round int8 arithmetic a little differently.
PROBABILITY = 0.02
# Below this two probabilities are the same whatever a mistake would have given.
SAME_PROBABILITY = 0.002


@dataclass(frozen=True)
class Finding:
    """One test: whether it passed, and what was seen."""

    passed: bool
    text: str


def check(folder: Path, app: Path | None = None) -> list[Finding]:
    """Test the export in `folder`, and what an app wrote into `app`. Raises UserError for what cannot be read."""
    findings = [_sums(folder)]
    if not findings[0].passed:
        return findings
    facts = read_json(folder / CONTRACT_FILE)
    golden = read_golden(folder / GOLDEN)
    known = facts["constants"]
    made = versions(golden, known["image_size"], known["interpolation"], known.get("input", PLANES))
    file = inside(folder, facts["file"], folder / CONTRACT_FILE).name
    model = OPENED[facts["backend"]](folder / file) if facts["backend"] in OPENED else None
    if model is None:
        findings.append(Finding(True, f"not run: {file} is for {facts['backend']}, which only a device can run"))
    else:
        again = np.abs(model.probabilities(golden.pictures) - golden.probabilities).max()
        told = f"{file} gives the expected answers here to {again:.4f}"
        findings.append(Finding(bool(again <= PROBABILITY), told))
    if app is not None:
        findings += _check_app(app, folder, file, model, golden, made)
    return findings


def _sums(folder: Path) -> Finding:
    recorded = recorded_sums(folder)
    if not recorded:
        raise UserError(f"{folder} has no {SUMS_FILE}: give a folder that python -m mpox.export wrote")
    files = {name: inside(folder, name, folder / SUMS_FILE) for name in recorded}
    changed = [name for name, digest in recorded.items() if _sum_or_none(files[name]) != digest]
    if changed:
        return Finding(False, f"{', '.join(changed)}: missing or not the file the sums were written for")
    return Finding(True, f"all {len(recorded)} files are those that were exported")


def _sum_or_none(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None


def _check_app(
    app: Path, folder: Path, file: str, model: Runnable | None, golden: Golden, made: dict[str, np.ndarray]
) -> list[Finding]:
    findings = []
    copy = app / file
    if copy.is_file():
        same = sha256_of(copy) == recorded_sums(folder)[file]
        text = f"the app's {file} is this one" if same else f"the app's {file} is another file: copy this one"
        findings.append(Finding(same, text))
    if tensors := {name: path for name in golden.names if (path := _tensor_file(app, name)) is not None}:
        findings.append(_tensors(tensors, golden, made))
    if (app / "probabilities.json").is_file():
        findings.append(_probabilities(app / "probabilities.json", model, golden, made))
    if not findings:
        raise UserError(f"{app} holds nothing to test: put photo-0.f32 …, probabilities.json or {file} there")
    return findings


def _tensor_file(app: Path, name: str) -> Path | None:
    return next((path for ending in ENDINGS if (path := app / f"{name}{ending}").is_file()), None)


def _tensors(files: dict[str, Path], golden: Golden, made: dict[str, np.ndarray]) -> Finding:
    rows = [golden.names.index(name) for name in files]
    due = made[AS_AGREED]
    given = np.stack([_read_tensor(path, due.shape[1:], due.dtype) for path in files.values()])
    distances = {name: float(np.abs(values[rows] - given).mean()) for name, values in made.items()}
    nearest = min(distances, key=distances.__getitem__)
    agreed = f"{distances[AS_AGREED]:.2f} levels of 255 from the agreed ones on average"
    if nearest == AS_AGREED and distances[nearest] <= TENSOR_LEVELS:
        return Finding(True, f"{len(rows)} tensors are {agreed}")
    likely = "" if nearest == AS_AGREED else f"; they are nearest ({distances[nearest]:.2f}) to: {nearest}"
    return Finding(False, f"{len(rows)} tensors are {agreed}{likely}")


def _read_tensor(path: Path, shape: tuple[int, ...], due: np.dtype) -> np.ndarray:
    """Read a tensor as float32, to be told apart from others. UserError where it is not of `shape` and dtype `due`."""
    kind = ENDINGS[path.suffix]
    try:
        values = np.load(path, allow_pickle=False) if kind is None else np.fromfile(path, kind)
        if values.dtype != due and (kind is not None or due == np.uint8):
            raise ValueError(f"it holds {values.dtype}")
        return np.asarray(values, "float32").reshape(shape)
    except ValueError as error:
        raise UserError(f"{path} is no tensor of {'x'.join(map(str, shape))} {due} values ({error})") from error


def _probabilities(path: Path, model: Runnable | None, golden: Golden, made: dict[str, np.ndarray]) -> Finding:
    content = read_json(path)
    names, n_classes = [name for name in golden.names if name in content], golden.probabilities.shape[1]
    if not names or any(len(content[name]) != n_classes for name in names):
        raise UserError(f"{path} must hold {n_classes} probabilities for {golden.names[0]} and so on")
    rows = [golden.names.index(name) for name in names]
    given = np.array([content[name] for name in names], "float32")
    agreed = float(np.abs(golden.probabilities[rows] - given).max())
    if agreed <= SAME_PROBABILITY:
        return Finding(True, f"probabilities of {len(rows)} photos are the expected ones to {agreed:.4f}")
    text = f"probabilities of {len(rows)} photos are up to {agreed:.4f} from the expected ones"
    if model is None:
        return Finding(agreed <= PROBABILITY, text)
    distances = {name: _distance(model, values[rows], given) for name, values in made.items()}
    nearest = min(distances, key=distances.__getitem__)
    if nearest == AS_AGREED or distances[nearest] > PROBABILITY:
        advice = "" if agreed <= PROBABILITY else "; no known mistake explains it: is it this model that was run?"
        return Finding(agreed <= PROBABILITY, text + advice)
    # To an int8 file, values of 0..1 and of -1..1 are the same: nothing.
    alike = [name for name, distance in distances.items() if distance <= distances[nearest] + SAME_PROBABILITY]
    return Finding(False, f"{text}; they are what this model says of: {'; or of: '.join(alike)}")


def _distance(model: Runnable, tensors: np.ndarray, given: np.ndarray) -> float:
    return float(np.abs(model.run_unchecked(tensors) - given).max())


def main() -> None:
    """Print the findings; exit code 0 only where all tests passed."""
    parser = argparse.ArgumentParser(prog="python -m mpox.mobile.check", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="what python -m mpox.export wrote")
    parser.add_argument("--app", type=Path, help="what an app made of the golden photos")
    given = parser.parse_args()
    accept_every_letter()
    try:
        findings = check(given.folder, given.app)
    except UserError as error:
        errors_console().print(f"error: {error}")
        sys.exit(1)
    console = results_console()
    for finding in findings:
        console.print(f"{'ok    ' if finding.passed else 'FAILED'}  {finding.text}")
    sys.exit(0 if all(finding.passed for finding in findings) else 1)


if __name__ == "__main__":
    main()
