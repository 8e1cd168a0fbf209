"""Test an exported model, and an app's results on its golden photos, with the runtime alone.

python -m mpox.mobile.check exports/<name>                  the files themselves
python -m mpox.mobile.check exports/<name> --app <folder>   and an app's own results
python -m mpox.mobile.check exports/<name> --stock          and whether loaders of plain classifiers take it
python -m mpox.mobile.check exports/<name> --web            and what browsers' engine answers (ONNX; needs node)

What an app puts into its folder, any of them: `photo-<k>.f32`, the tensor it gave the model (little-endian float32, in
memory order; `photo-<k>.u8` where the file takes bytes) or the same as `.npy`; `probabilities.json`, an object of
name to list; its copy of the model.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpox.cli import DONE, FAILED, finish
from mpox.console import results_console
from mpox.data.working_picture import resize_of
from mpox.errors import UserError
from mpox.files import read_record, sha256_of
from mpox.mobile.file.contract import CONTRACT_FILE, RUNNABLE
from mpox.mobile.file.input_tensor import PLANES, as_input
from mpox.mobile.file.onnx_layers import saturating_layers
from mpox.mobile.file.onnx_session import open_session
from mpox.mobile.file.package import AGAIN, MODEL_FILE, ONNX_FILE, SUMS_FILE, changed_files, recorded_sums
from mpox.mobile.run.app_mistakes import CORRECT, possible_tensors
from mpox.mobile.run.golden import GOLDEN, Golden, read_golden
from mpox.mobile.run.native_output import native_stderr_discarded
from mpox.mobile.run.onnx_model import OnnxModel
from mpox.mobile.run.runtime import PhoneModel
from mpox.mobile.run.web_engine import PACKAGE, web_engine
from mpox.places import inside
from mpox.stats.pooled import softmax

# The models that run on this machine, by backend.
Runnable = PhoneModel | OnnxModel
LOADERS: dict[str, type[Runnable]] = {RUNNABLE: PhoneModel, "onnxruntime": OnnxModel}
# Suffixes of tensor files, and the type of the numbers in them.
ENDINGS = {".f32": "<f4", ".u8": "u1", ".npy": None}
# Largest mean difference of a photo's tensor from the correct one, in levels of 0..255: rounding, and the JPEG decoder.
TENSOR_LEVELS = 0.75
# Largest difference of probabilities: other processors round int8 arithmetic slightly differently.
PROBABILITY = 0.02
# Below this difference two probabilities count as the same, and no mistake is searched for.
SAME_PROBABILITY = 0.002


@dataclass(frozen=True)
class CheckResult:
    """One test: whether it passed, and what it found."""

    passed: bool
    text: str


def check(folder: Path, app: Path | None = None, *, stock: bool = False, web: bool = False) -> list[CheckResult]:
    """Test the export in `folder`, and what an app wrote into `app`. Raises UserError for files that cannot be read.

    `stock`: test it as a classifier of which nothing else is known, too: one input, one output, its softmax. `web`: run
    it by onnxruntime-web as well; UserError where that is not installed.
    """
    results = [_sums(folder)]
    if not results[0].passed:
        return results
    contract = read_record(folder / CONTRACT_FILE, AGAIN, file=str, backend=str, constants=dict)
    golden = read_golden(folder / GOLDEN)
    constants = contract["constants"]
    form = constants.get("input", PLANES)
    file = inside(folder, contract["file"], folder / CONTRACT_FILE).name
    backend = contract["backend"]
    model = LOADERS[backend](folder / file) if backend in LOADERS else None
    if backend == "onnxruntime" and (layers := saturating_layers(folder / file)):
        text = f"{len(layers)} int8 layers of {file} saturate on processors without 8-bit dot products: export it again"
        results.append(CheckResult(False, text))
    if model is None:
        results.append(CheckResult(True, f"not run: {file} is for {backend}, which only a device can run"))
    else:
        difference = np.abs(model.probabilities(golden.pictures) - golden.probabilities).max()
        text = f"{file} gives the expected probabilities on this machine to {difference:.4f}"
        results.append(CheckResult(bool(difference <= PROBABILITY), text))
    tensors = as_input(golden.pictures, constants["image_size"], form)
    if stock:
        results.append(_stock(folder / file, backend, tensors, golden))
    if web:
        results.append(_web(folder / file, backend, tensors, golden))
    if app is not None:
        picture = constants["image_size"], constants["interpolation"], resize_of(constants)
        results += _check_app(app, folder, file, model, golden, possible_tensors(golden, *picture, form))
    return results


def _stock(path: Path, backend: str, tensors: np.ndarray, golden: Golden) -> CheckResult:
    """Run the file as loaders of classifiers do: one float image in, one row of logits out, softmax by the caller."""
    if tensors.dtype != np.float32 or backend not in LOADERS:
        what = f"is for {backend}" if backend not in LOADERS else "takes bytes"
        return CheckResult(False, f"{path.name} {what}: stock loaders give float images to the processor")
    run = (_stock_onnx if backend == "onnxruntime" else _stock_program)(path)
    outputs = [run(one[None]) for one in tensors]
    if any(len(several) != 1 for several in outputs):
        return CheckResult(
            False, f"{path.name} gives {len(outputs[0])} outputs, stock loaders take one, the logits: export it again"
        )
    difference = float(np.abs(softmax(np.concatenate([one for (one,) in outputs])) - golden.probabilities).max())
    text = f"stock loaders get one output, whose softmax is the expected probabilities to {difference:.4f}"
    return CheckResult(difference <= PROBABILITY, text)


def _web(path: Path, backend: str, tensors: np.ndarray, golden: Golden) -> CheckResult:
    """Run an ONNX file by onnxruntime-web on the golden pictures."""
    if backend != "onnxruntime":
        return CheckResult(False, f"{path.name} is for {backend}: browsers take ONNX, export with format=onnx")
    engine = web_engine()
    difference = float(np.abs(softmax(engine.logits(path, tensors)) - golden.probabilities).max())
    text = f"{PACKAGE} {engine.version} gives the expected probabilities to {difference:.4f}"
    return CheckResult(difference <= PROBABILITY, text)


def _stock_program(path: Path) -> Callable[[np.ndarray], list[np.ndarray]]:
    """`forward` of a program in ExecuTorch's public runtime: from an image to its outputs."""
    import torch
    from executorch.runtime import Runtime

    with native_stderr_discarded():
        method = Runtime.get().load_program(path).load_method("forward")
    assert method is not None
    return lambda image: [output.numpy() for output in method.execute([torch.from_numpy(image)])]


def _stock_onnx(path: Path) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A file in onnxruntime: from an image to all outputs, whatever their names."""
    session = open_session(path, 1)
    return lambda image: list(session.run(None, {session.get_inputs()[0].name: image}))


def _sums(folder: Path) -> CheckResult:
    recorded = recorded_sums(folder)
    if not recorded:
        raise UserError(f"{folder} has no {SUMS_FILE}: give a folder that python -m mpox.export wrote")
    changed = changed_files(folder)
    if CONTRACT_FILE not in recorded or not {MODEL_FILE, ONNX_FILE} & recorded.keys():
        raise UserError(f"{folder / SUMS_FILE} does not list the model and {CONTRACT_FILE}, it is cut: {AGAIN}")
    if changed:
        return CheckResult(False, f"{', '.join(changed)}: missing or not the file the sums were written for")
    return CheckResult(True, f"all {len(recorded)} files are those that were exported")


def _check_app(
    app: Path, folder: Path, file: str, model: Runnable | None, golden: Golden, made: dict[str, np.ndarray]
) -> list[CheckResult]:
    results = []
    copy = app / file
    if copy.is_file():
        same = sha256_of(copy) == recorded_sums(folder)[file]
        text = f"the app's {file} is this one" if same else f"the app's {file} is another file: copy this one"
        results.append(CheckResult(same, text))
    if tensors := {name: path for name in golden.names if (path := _tensor_file(app, name)) is not None}:
        results.append(_tensors(tensors, golden, made))
    if (app / "probabilities.json").is_file():
        results.append(_probabilities(app / "probabilities.json", model, golden, made))
    if not results:
        raise UserError(f"{app} has no file to test: put photo-0.f32 …, probabilities.json or {file} there")
    return results


def _tensor_file(app: Path, name: str) -> Path | None:
    return next((path for ending in ENDINGS if (path := app / f"{name}{ending}").is_file()), None)


def _tensors(files: dict[str, Path], golden: Golden, made: dict[str, np.ndarray]) -> CheckResult:
    rows = [golden.names.index(name) for name in files]
    correct = made[CORRECT]
    given = np.stack([_read_tensor(path, correct.shape[1:], correct.dtype) for path in files.values()])
    distances = {name: float(np.abs(values[rows] - given).mean()) for name, values in made.items()}
    nearest = min(distances, key=distances.__getitem__)
    # By photo: a mistake may change only the one that lies on its side, or that is in other colours.
    by_photo = np.abs(correct[rows] - given).reshape(len(rows), -1).mean(1)
    worst = int(by_photo.argmax())
    difference = f"{by_photo.mean():.2f} levels of 255 from the correct ones on average"
    if nearest == CORRECT and by_photo[worst] <= TENSOR_LEVELS:
        absent = [name for name in golden.names if name not in files]
        return CheckResult(
            True, f"{len(rows)} tensors are {difference}{'; not given: ' * bool(absent)}{', '.join(absent)}"
        )
    difference += f", {by_photo[worst]:.2f} of {list(files)[worst]}"
    likely = "" if nearest == CORRECT else f"; they are nearest ({distances[nearest]:.2f}) to: {nearest}"
    return CheckResult(False, f"{len(rows)} tensors are {difference}{likely}")


def _read_tensor(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Read a tensor and return it as float32. UserError where it is not of `shape` and `dtype`."""
    kind = ENDINGS[path.suffix]
    try:
        values = np.load(path, allow_pickle=False) if kind is None else np.fromfile(path, kind)
        if values.dtype != dtype and (kind is not None or dtype == np.uint8):
            raise ValueError(f"it holds {values.dtype}")
        return np.asarray(values, "float32").reshape(shape)
    except ValueError as error:
        raise UserError(f"{path} is no tensor of {'x'.join(map(str, shape))} {dtype} values ({error})") from error


def _probabilities(path: Path, model: Runnable | None, golden: Golden, made: dict[str, np.ndarray]) -> CheckResult:
    content = read_record(path)
    names, n_classes = [name for name in golden.names if name in content], golden.probabilities.shape[1]
    if not names or any(len(content[name]) != n_classes for name in names):
        raise UserError(f"{path} must hold {n_classes} probabilities for {golden.names[0]} and so on")
    rows = [golden.names.index(name) for name in names]
    given = np.array([content[name] for name in names], "float32")
    difference = float(np.abs(golden.probabilities[rows] - given).max())
    if difference <= SAME_PROBABILITY:
        return CheckResult(True, f"probabilities of {len(rows)} photos are the expected ones to {difference:.4f}")
    text = f"probabilities of {len(rows)} photos are up to {difference:.4f} from the expected ones"
    if model is None:
        return CheckResult(difference <= PROBABILITY, text)
    distances = {name: _distance(model, values[rows], given) for name, values in made.items()}
    nearest = min(distances, key=distances.__getitem__)
    if nearest == CORRECT or distances[nearest] > PROBABILITY:
        advice = "" if difference <= PROBABILITY else "; no known mistake explains it: was this model run?"
        return CheckResult(difference <= PROBABILITY, text + advice)
    # An int8 file rounds values of 0..1 and of -1..1 to the same: zero.
    matching = [name for name, distance in distances.items() if distance <= distances[nearest] + SAME_PROBABILITY]
    return CheckResult(False, f"{text}; they are what this model gives for: {'; or for: '.join(matching)}")


def _distance(model: Runnable, tensors: np.ndarray, given: np.ndarray) -> float:
    return float(np.abs(model.run_unchecked(tensors) - given).max())


def main() -> None:
    """Print the results; the exit code is 0 only where all tests pass."""
    parser = argparse.ArgumentParser(prog="python -m mpox.mobile.check", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="what python -m mpox.export wrote")
    parser.add_argument("--app", type=Path, help="folder of an app's results on the golden photos")
    parser.add_argument("--web", action="store_true", help="run an ONNX file by onnxruntime-web in node, too")
    parser.add_argument("--stock", action="store_true", help="test it as loaders of plain classifiers take it, too")
    given = parser.parse_args()
    finish(lambda: _print(check(given.folder, given.app, stock=given.stock, web=given.web)))


def _print(results: list[CheckResult]) -> int:
    for result in results:
        results_console().print(f"{'ok    ' if result.passed else 'FAILED'}  {result.text}")
    return DONE if all(result.passed for result in results) else FAILED


if __name__ == "__main__":
    main()
