"""Use from Python: ask a model, read a study and its comparison as tables. `import mpox` has each of these functions.

Research software and decision support; never a diagnosis.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from mpox.data.folds import ALL
from mpox.data.photos import decoded, upright
from mpox.data.working_picture import square
from mpox.errors import UserError
from mpox.files import read_record
from mpox.mobile.run.decision_rule import DecidingPredictor, Decision, decide
from mpox.mobile.run.opening import open_model
from mpox.runs.run_state import fold_of, state_of
from mpox.stats import predictions

# What conf/predict.yaml has, too.
TARGET_SENSITIVITY, REFER_BELOW = 0.95, 0.5
# Of metrics.json.
PARTS = ("val", "test", "cross_validated")


class Model:
    """An opened export or run. `labels`: the classes, in the order of probabilities; `image_size`: in pixels."""

    def __init__(self, predictor: DecidingPredictor, refer_below: float = REFER_BELOW) -> None:
        self._predictor, self._refer_below = predictor, refer_below
        self.labels, self.image_size = tuple(predictor.labels), predictor.image_size

    def predict(self, photo: str | Path | Image.Image | np.ndarray) -> Decision:
        """Answer one photo as `mpox.predict` does: its class, `answer` or `refer`, why, and all probabilities.

        `photo` is a file, a Pillow image (turned upright and converted to sRGB by what it records) or an array
        (H, W, 3) uint8 of upright sRGB pixels, of any size. Raises UserError for any other array, PhotoError for a file
        that is no photo.
        """
        picture = self._picture(photo)
        chances = self._predictor.probabilities(picture)[0]
        of = self._predictor
        return decide(chances, of.labels, of.positive, of.rule, self._refer_below)

    def _picture(self, photo: str | Path | Image.Image | np.ndarray) -> np.ndarray:
        of = self._predictor
        if isinstance(photo, str | Path):
            with decoded(Path(photo).expanduser()) as read:
                return square(read.picture, self.image_size, of.interpolation, of.resize)
        if isinstance(photo, np.ndarray):
            if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
                raise UserError(f"an array {photo.dtype} {photo.shape} is no photo: give (height, width, 3) uint8, RGB")
            photo = Image.fromarray(photo)
        return square(upright(photo), self.image_size, of.interpolation, of.resize)


def load(path: str | Path, *, target_sensitivity: float = TARGET_SENSITIVITY, threads: int | None = 1) -> Model:
    """Open an export (`exports/<name>`, a .pte, a .onnx) or a run (`runs/<study>/<model>/fold-<k>`, a checkpoint).

    `target_sensitivity` (0..1) is for mpox on new photos and sets the threshold of a run; an export has its own.
    Raises UserError where there is no model.
    """
    return Model(open_model(path, sensitivity=target_sensitivity, threads=threads))


def read_study(place: str | Path) -> pd.DataFrame:
    """Return the runs of a study (`runs/<study>`), or the one run of a run directory: one row each.

    Columns: `model`, `fold` (a number, or "all"), `state` (done, failed, …), `path`, and of a finished run the figures
    of metrics.json as `val/<metric>` and `test/<metric>`, floats; of a network of every photo (fold "all") as
    `cross_validated/<metric>`. Raises UserError where there is no run.
    """
    rows = []
    for run in _runs(place):
        path = run / "metrics.json"
        metrics: dict[str, Any] = read_record(path) if path.is_file() else {}
        figures = {f"{part}/{name}": x for part in PARTS for name, x in metrics.get(part, {}).items()}
        rows.append({"model": run.parent.name, "fold": fold_of(run), "state": state_of(run), "path": run, **figures})
    return pd.DataFrame(rows)


def read_predictions(place: str | Path) -> pd.DataFrame:
    """Return the logits of a study, or of one run, on photos that its networks were not trained on.

    One row a photo and run: `model`, `photo_id`, `path`, `group`, `source`, `fold`, `split` (val or test), `label`, and
    `logit_<class>` float32. The final network (fold "all") was trained on every photo and adds no row to a study's: its
    run repeats those of the folds. Raises UserError where there is no run or a file is not one of predictions.
    """
    tables = []
    found = _runs(place)
    for run in [run for run in found if fold_of(run) != ALL] or found:
        path = run / "predictions.parquet"
        if path.is_file():
            tables.append(predictions.read_predictions(path)[0].assign(model=run.parent.name))
    if not tables:
        raise UserError(f"no finished run in {place}: train it first (python -m mpox.train)")
    table = pd.concat(tables, ignore_index=True)
    return table[["model", *(name for name in table.columns if name != "model")]]


def read_comparison(place: str | Path) -> pd.DataFrame:
    """Return the table of `mpox.compare`: one row a model, best first.

    `place` is `runs/<study>` or its folder `comparison`. Columns: `model`, `rank`, `versus_best`, for each metric its
    `_mean` and `_sd` over folds, its `_pooled` figure with the interval `_low` to `_high`, and what the model costs.
    Raises UserError where the study has not been compared.
    """
    folder = Path(place).expanduser()
    for path in (folder / "comparison.csv", folder / "comparison" / "comparison.csv"):
        if path.is_file():
            return pd.read_csv(path)
    raise UserError(f"no comparison in {place}: python -m mpox.compare study=<study> makes one")


def _runs(place: str | Path) -> list[Path]:
    """Return the run directories of a study, or the one that is given. Raises UserError where there is none."""
    folder = Path(place).expanduser()
    found = [folder] if fold_of(folder.absolute()) is not None else sorted(folder.glob("*/fold-*"))
    runs = [run for run in found if fold_of(run) is not None and (run / "status.json").is_file()]
    if not runs:
        raise UserError(f"no run in {place}: give runs/<study> or runs/<study>/<model>/fold-<k>")
    return runs
