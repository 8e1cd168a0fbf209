"""One way to open a model that answers: an export or a run."""

from pathlib import Path

from mpox.errors import UserError
from mpox.mobile.run.decision_rule import DecidingPredictor


def open_model(path: str | Path, *, sensitivity: float, threads: int | None) -> DecidingPredictor:
    """Open an export (folder, .pte or .onnx) or a run (directory or checkpoint). Raises UserError for anything else."""
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(f"no model at {path}: give an export (exports/<name>) or a run directory")
    if place.suffix == ".ckpt" or (place / "checkpoint.ckpt").is_file():
        from mpox.mobile.run.run_model import RunModel

        return RunModel(place, sensitivity)
    if place.suffix == ".onnx" or (not (place / "model.pte").is_file() and (place / "model.onnx").is_file()):
        from mpox.mobile.run.onnx_model import OnnxModel

        return OnnxModel(place, threads or 1)
    from mpox.mobile.run.runtime import PhoneModel

    return PhoneModel(place, threads)
