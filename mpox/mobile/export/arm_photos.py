"""The photos that an exported file is checked on: its golden set, and held-out photos of its run or any folder's."""

from pathlib import Path

import numpy as np

from mpox.data.photos import open_photo
from mpox.data.walk import walk
from mpox.data.working_picture import square
from mpox.errors import UserError
from mpox.files import read_record
from mpox.mobile.export.arm_check import CheckPhotos
from mpox.mobile.file.contract import CONTRACT_FILE, RUNNABLE
from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.file.package import check_made_of
from mpox.mobile.run.float_file import is_pruned
from mpox.mobile.run.golden import GOLDEN, read_golden
from mpox.mobile.run.run_model import NetworkModel
from mpox.mobile.run.runtime import PhoneModel
from mpox.runs.opened import open_run


def check_photos(folder: Path, count: int, *, run: Path | None = None, photos: Path | None = None) -> CheckPhotos:
    """Return the golden set of the export in `folder` and at most `count` other photos.

    With `run` these are drawn from the test photos of its fold (from all, for a network that all trained), and its
    network answers them; with `photos` they are drawn from that folder. Raises UserError for a folder that is no export
    or for another backend, for another run than the export's, and for a folder without photos.
    """
    if not (folder / CONTRACT_FILE).is_file():
        raise UserError(f"{folder} is no export: give a folder that python -m mpox.export wrote")
    if (backend := read_record(folder / CONTRACT_FILE)["backend"]) != RUNNABLE:
        raise UserError(f"{folder} is for {backend}, not for ExecuTorch on a processor: give an export with {RUNNABLE}")
    model = PhoneModel(folder)
    golden = read_golden(folder / GOLDEN)
    expected = golden.probabilities
    if run is not None:
        pictures, network, of = _of_run(folder, run, model, count)
    elif photos is not None:
        pictures, network, of = _of_folder(photos, model, count), None, "a folder of photos"
    else:
        pictures, network, of = golden.pictures[:0], None, "none"
    return CheckPhotos(np.concatenate([golden.pictures, pictures]), expected, of, network)


def _of_run(folder: Path, path: Path, model: PhoneModel, count: int) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Pictures; the network's probabilities at the file's temperature (a pruned one is not there); what they are."""
    run = open_run(path, device="cpu")
    check_made_of(folder, model.facts["checkpoint_sha256"], run.path)
    pictures = run.pixels[_drawn(run.rows("test"), count)]
    of = "photos that trained the network" if run.is_final else "held-out photos of its fold"
    if is_pruned(folder):
        return pictures, None, of
    network = PhoneNetwork(run.network, image_size=model.image_size, maps=False)
    asked = NetworkModel(network, model.labels, model.interpolation, model.resize, model.temperature)
    return pictures, asked.probabilities(pictures), of


def _of_folder(place: Path, model: PhoneModel, count: int) -> np.ndarray:
    found = [place / path for path in walk(place).photos] if place.is_dir() else []
    if not found:
        raise UserError(f"no photos in {place}: give --photos <a folder of photos>, or --run <the export's run>")
    drawn = _drawn(np.arange(len(found)), count)
    return np.stack([square(open_photo(found[k]), model.image_size, model.interpolation, model.resize) for k in drawn])


def _drawn(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of `rows`, the same ones each time."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:count])
