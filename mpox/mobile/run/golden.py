"""The golden set of an export: photos, their working pictures and the expected probabilities."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpox.data.photos import open_photo
from mpox.data.picture_files import write_picture
from mpox.data.working_picture import square
from mpox.errors import UserError
from mpox.files import read_record, write_json
from mpox.mobile.file.package import AGAIN
from mpox.mobile.run.decision_rule import Predictor
from mpox.mobile.run.golden_photos import golden_photos
from mpox.places import inside

GOLDEN = "golden"
EXPECTED = "expected.json"


@dataclass(frozen=True)
class Golden:
    """Names; files of the photos; working pictures (N, S, S, 3) uint8; probabilities (N, C) float32."""

    names: tuple[str, ...]
    files: tuple[Path, ...]
    pictures: np.ndarray
    probabilities: np.ndarray


def write_golden(model: Predictor, folder: Path, *, of_network: bool = False) -> Golden:
    """Write the photos, their working pictures and what `model` answers on these into `folder`.

    Writes photo-<k>.png or .jpg, photo-<k>-picture.png (the input tensor as pixels) and expected.json. `of_network`:
    the outputs are PyTorch's, since the file cannot be run on this machine; expected.json notes it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    photos = golden_photos()
    files = tuple(folder / photo.file for photo in photos)
    for file, photo in zip(files, photos, strict=True):
        file.write_bytes(photo.content)
    form = model.image_size, model.interpolation, model.resize
    pictures = np.stack([square(open_photo(file), *form) for file in files])
    probabilities = model.probabilities(pictures)
    logits = model.logits(pictures) / model.temperature  # as the file gives them
    for file, picture in zip(files, pictures, strict=True):
        write_picture(picture, folder / f"{file.stem}-picture.png")
    outputs = {
        file.stem: {"file": file.name, "label_drawn": photo.label, "probabilities": p.tolist(), "logits": z.tolist()}
        for file, photo, p, z in zip(files, photos, probabilities, logits, strict=True)
    }
    of = "the network in PyTorch, float32" if of_network else "the exported file"
    content = {"synthetic": True, "answers_of": of, "labels": list(model.labels), "answers": outputs}
    write_json(folder / EXPECTED, content)
    return Golden(tuple(outputs), files, pictures, probabilities)


def read_golden(folder: Path) -> Golden:
    """Read what `write_golden` wrote, in this version or an earlier one. Raises UserError where a part is missing."""
    if not (folder / EXPECTED).is_file():
        raise UserError(f"no golden set in {folder}: export the model again")
    outputs = read_record(folder / EXPECTED, AGAIN, answers=dict)["answers"]
    files = tuple(  # sets of earlier versions have no name of it: all are PNG
        inside(folder, one.get("file", f"{name}.png"), folder / EXPECTED) for name, one in outputs.items()
    )
    pictures = np.stack([np.asarray(open_photo(folder / f"{name}-picture.png")) for name in outputs])
    probabilities = np.array([one["probabilities"] for one in outputs.values()], "float32")
    return Golden(tuple(outputs), files, pictures, probabilities)
