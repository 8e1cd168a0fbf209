"""The golden set: generated photos, their working pictures, the expected probabilities, and the usual mistakes of apps.

The photos are SYNTHETIC (`mpox.data.synthetic`), so that the set may be published with the model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mpox.data.photos import open_photo
from mpox.data.picture_files import write_picture
from mpox.data.working_picture import FILTERS, centre_square, square
from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.mobile.file.input_tensor import PIXELS
from mpox.mobile.run.decision_rule import Predictor
from mpox.temporary import scratch

GOLDEN = "golden"
EXPECTED = "expected.json"
# Width and height of the photos: larger than any working picture, and not square, so that crop and filter matter.
PHOTO_SIZE = (480, 400)
SEED = 20
# Variants of the mistake "values normalised by the app": ImageNet's mean and sd, and 0.5 of both.
NORMALISATIONS = {
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
CORRECT = "as in the contract"


@dataclass(frozen=True)
class Golden:
    """Names; photos (RGB); working pictures (N, S, S, 3) uint8; probabilities (N, C) float32."""

    names: tuple[str, ...]
    photos: tuple[Image.Image, ...]
    pictures: np.ndarray
    probabilities: np.ndarray


def write_golden(model: Predictor, folder: Path, *, of_network: bool = False) -> Golden:
    """Generate photos, run `model` on their working pictures, and write both with the outputs into `folder`.

    Writes photo-<k>.png, picture-<k>.png (the input tensor as pixels) and expected.json. `of_network`: the
    outputs are PyTorch's, since the file cannot be run on this machine; expected.json notes it.
    """
    from mpox.data.synthetic import generate

    folder.mkdir(parents=True, exist_ok=True)
    with scratch() as place:
        table = generate(place, subjects_per_class=1, photos_per_subject=1, size=PHOTO_SIZE[0], seed=SEED)
        generated = [open_photo(place / path) for path in table["path"]]
    photos = tuple(photo.crop((0, 0, *PHOTO_SIZE)) for photo in generated)
    pictures = np.stack([square(photo, model.image_size, model.interpolation, model.resize) for photo in photos])
    probabilities = model.probabilities(pictures)
    logits = model.logits(pictures) / model.temperature  # as the file gives them
    names = tuple(f"photo-{k}" for k in range(len(photos)))
    for name, photo, picture in zip(names, photos, pictures, strict=True):
        write_picture(photo, folder / f"{name}.png")
        write_picture(picture, folder / f"{name}-picture.png")
    outputs = {
        name: {"label_drawn": label, "probabilities": p.tolist(), "logits": z.tolist()}
        for name, label, p, z in zip(names, table["label"], probabilities, logits, strict=True)
    }
    of = "the network in PyTorch, float32" if of_network else "the exported file"
    content = {"synthetic": True, "answers_of": of, "labels": list(model.labels), "answers": outputs}
    write_json(folder / EXPECTED, content)
    return Golden(names, photos, pictures, probabilities)


def read_golden(folder: Path) -> Golden:
    """Read what `write_golden` wrote. Raises UserError where a part is missing."""
    if not (folder / EXPECTED).is_file():
        raise UserError(f"no golden set in {folder}: export the model again")
    outputs = read_json(folder / EXPECTED)["answers"]
    names = tuple(outputs)
    photos = tuple(open_photo(folder / f"{name}.png") for name in names)
    pictures = np.stack([np.asarray(open_photo(folder / f"{name}-picture.png")) for name in names])
    return Golden(names, photos, pictures, np.array([outputs[name]["probabilities"] for name in names], "float32"))


def possible_tensors(golden: Golden, size: int, interpolation: str, resize: str, form: str) -> dict[str, np.ndarray]:
    """Return the tensors of the photos, in the file's form: the correct ones, and those of each usual mistake."""
    pictures = golden.pictures
    planes = pictures.transpose(0, 3, 1, 2)
    made = {CORRECT: pictures, "channels in the order B, G, R": pictures[..., ::-1]}
    for name, mistaken in _resizes(size, interpolation, resize).items():
        made[name] = np.stack([mistaken(photo) for photo in golden.photos])
    if form == PIXELS:
        made["planes (NCHW) where interleaved pixels are expected (NHWC)"] = planes.reshape(pictures.shape)
        return {name: np.ascontiguousarray(values) for name, values in made.items()}
    made = {name: values.transpose(0, 3, 1, 2) for name, values in made.items()}
    made["pixels interleaved (NHWC) where planes are expected (NCHW)"] = pictures.reshape(planes.shape)
    made["values divided by 255"] = planes / 255
    for name, (mean, std) in NORMALISATIONS.items():
        values = (planes / 255 - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))
        made[f"values normalised by the app ({name} mean and sd), which the file does already"] = values
    return {name: np.ascontiguousarray(values, "float32") for name, values in made.items()}


def _resizes(size: int, interpolation: str, resize: str) -> dict[str, Callable[[Image.Image], np.ndarray]]:
    """Wrong ways to make a working picture."""

    def filtered(name: str) -> Callable[[Image.Image], np.ndarray]:
        return lambda photo: square(photo, size, name, resize)

    def without_antialias(kind: Image.Resampling) -> Callable[[Image.Image], np.ndarray]:
        def sampled(photo: Image.Image) -> np.ndarray:
            left, top, right, _ = centre_square(photo.width, photo.height)
            # Pillow's affine transform samples points and does not average over the pixels between them.
            step = (right - left) / size
            places = (step, 0, left, 0, step, top)
            return np.asarray(photo.transform((size, size), Image.Transform.AFFINE, places, kind))

        return sampled

    def stretched(photo: Image.Image) -> np.ndarray:
        return np.asarray(photo.resize((size, size), FILTERS[interpolation]))

    others = [name for name in FILTERS if name != interpolation]
    kinds = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}
    kinds["bicubic"] = Image.Resampling.BICUBIC
    return {
        **{f"resized with the {name} filter, not {interpolation}": filtered(name) for name in others},
        **{f"resized without antialiasing ({name})": without_antialias(kind) for name, kind in kinds.items()},
        "stretched to a square, not cropped": stretched,
    }
