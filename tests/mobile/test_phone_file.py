"""A file on its way to a phone: broken ones are refused in one line, and the checker names an app's mistake."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpox.data.photos import open_photo
from mpox.data.working_picture import square
from mpox.errors import UserError
from mpox.mobile.check import check
from mpox.mobile.run.golden import GOLDEN, read_golden
from mpox.mobile.run.runtime import PhoneModel

SIZE = 96


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[-1000] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("harm", "sums", "message"),
    [
        (cut, False, "is cut short"),
        (cut, True, "is cut short"),
        (lambda content: content[:20], False, "is not an ExecuTorch program"),
        (lambda content: b"", False, "is not an ExecuTorch program"),
        (lambda content: b"PK" + content[2:], False, "cannot be loaded|is not an ExecuTorch program"),
        (lambda content: content[:40] + b"\xff" * 2000 + content[2040:], False, "cannot be loaded"),
        (flip, True, "is not the file its SHA256SUMS was written for"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(
    harm: Callable[[bytes], bytes], sums: bool, message: str, exported: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.pte").write_bytes(harm((exported / "model.pte").read_bytes()))
    if sums:
        shutil.copy(exported / "SHA256SUMS", tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        PhoneModel(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 3, 50, 50), "float32"), "do not fit"),
        (np.full((1, 3, SIZE, SIZE), 0.5, "float32"), "give RGB values 0..255"),
        (np.full((1, 3, SIZE, SIZE), -1.0, "float32"), "give RGB values 0..255"),
    ],
)
def test_tensors_that_cannot_be_photos_are_refused(images: np.ndarray, message: str, exported: Path) -> None:
    with pytest.raises(UserError, match=message):
        PhoneModel(exported).probabilities(images)


def test_an_app_that_follows_the_contract_passes(exported: Path, tmp_path: Path) -> None:
    write_app(exported, tmp_path, lambda photo: np.asarray(square(photo, SIZE, "bicubic"), "float32"))
    shutil.copy(exported / "model.pte", tmp_path)
    findings = check(exported, tmp_path)
    assert len(findings) == 5 and all(finding.passed for finding in findings)


def bgr(photo: Image.Image) -> np.ndarray:
    return np.asarray(square(photo, SIZE, "bicubic"), "float32")[..., ::-1]


def normalised(photo: Image.Image) -> np.ndarray:
    return (np.asarray(square(photo, SIZE, "bicubic"), "float32") / 255 - 0.5) / 0.5


def scaled(photo: Image.Image) -> np.ndarray:
    return np.asarray(square(photo, SIZE, "bicubic"), "float32") / 255


def nearest(photo: Image.Image) -> np.ndarray:
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(photo.crop(box).resize((SIZE, SIZE), Image.Resampling.NEAREST), "float32")


def bilinear(photo: Image.Image) -> np.ndarray:
    return np.asarray(square(photo, SIZE, "bilinear"), "float32")


def stretched(photo: Image.Image) -> np.ndarray:
    return np.asarray(photo.resize((SIZE, SIZE), Image.Resampling.BICUBIC), "float32")


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (bgr, "B, G, R"),
        (normalised, "normalised by the app"),
        (scaled, "divided by 255"),
        (nearest, "without antialiasing"),
        (bilinear, "bilinear filter, not bicubic"),
        (stretched, "stretched"),
    ],
)
def test_the_checker_names_the_mistake(
    made: Callable[[Image.Image], np.ndarray], named: str, exported: Path, tmp_path: Path
) -> None:
    write_app(exported, tmp_path, made)
    *files, tensors, probabilities = check(exported, tmp_path)
    assert all(finding.passed for finding in files)
    assert not tensors.passed and named in tensors.text
    if made not in (bilinear, nearest, stretched):  # which may change the probabilities by less than arithmetic does
        assert not probabilities.passed and named in probabilities.text


@pytest.mark.parametrize(
    ("changed", "lacks", "named"),
    [
        ("photo-4", "a filter that averages", "without antialiasing (bilinear)"),
        ("photo-5", "the turn", "not turned upright"),
        ("photo-6", "the colours", "Display P3"),
    ],
)
def test_the_checker_names_what_an_app_of_real_photos_leaves_out(
    changed: str, lacks: str, named: str, exported: Path, tmp_path: Path
) -> None:
    def careless(file: Path) -> np.ndarray:
        """As the platform's decoder gives it: neither turned nor converted; resized by its plain bilinear scaler."""
        if file.stem != changed:
            return np.asarray(square(open_photo(file), SIZE, "bicubic"), "float32")
        with Image.open(file) as photo:
            if lacks != "a filter that averages":
                return np.asarray(square(photo.convert("RGB"), SIZE, "bicubic"), "float32")
            pixels = np.asarray(photo)
        places = (np.arange(SIZE) + 0.5) * (len(pixels) / SIZE) - 0.5
        low, share = places.astype(int), (places % 1)[:, None]
        left = (pixels.shape[1] - len(pixels)) // 2
        rows = pixels[low] * (1 - share[..., None]) + pixels[low + 1] * share[..., None]
        return rows[:, left + low] * (1 - share) + rows[:, left + low + 1] * share

    write_app_of_files(exported, tmp_path, careless)
    tensors = check(exported, tmp_path)[-2]
    assert not tensors.passed and named in tensors.text and f"of {changed}" in tensors.text
    for file in tmp_path.glob(f"{changed}.*"):
        file.unlink()
    tensors = check(exported, tmp_path)[-2]
    assert tensors.passed and f"not given: {changed}" in tensors.text


def test_the_checker_recognises_another_file_and_other_probabilities(exported: Path, tmp_path: Path) -> None:
    (floats,) = (exported.parent / ".fp32").glob("*.pte")
    shutil.copy(floats, tmp_path / "model.pte")
    golden = read_golden(exported / GOLDEN)
    wrong = np.roll(golden.probabilities, 1, axis=1)
    probabilities = {name: values.tolist() for name, values in zip(golden.names, wrong, strict=True)}
    (tmp_path / "probabilities.json").write_text(json.dumps(probabilities))
    *_, file, probabilities = check(exported, tmp_path)
    assert not file.passed and "another file" in file.text
    assert not probabilities.passed and "was this model run" in probabilities.text


def test_the_checker_sees_a_changed_export(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "copy")
    (tmp_path / "copy" / "contract.json").write_text("{}")
    (finding,) = check(tmp_path / "copy")
    assert not finding.passed and "contract.json" in finding.text


def write_app(exported: Path, app: Path, made: Callable[[Image.Image], np.ndarray]) -> None:
    """Write the files of an app that makes its tensors (S, S, 3) of upright sRGB photos in this way."""
    write_app_of_files(exported, app, lambda file: made(open_photo(file)))


def write_app_of_files(exported: Path, app: Path, made: Callable[[Path], np.ndarray]) -> None:
    """Write the files of an app that makes its tensors (S, S, 3) of files in this way."""
    model, golden = PhoneModel(exported), read_golden(exported / GOLDEN)
    probabilities = {}
    for name, file in zip(golden.names, golden.files, strict=True):
        tensor = np.ascontiguousarray(made(file).transpose(2, 0, 1)[None], "<f4")
        tensor.tofile(app / f"{name}.f32")
        probabilities[name] = model.run_unchecked(tensor)[0].tolist()
    (app / "probabilities.json").write_text(json.dumps(probabilities))
