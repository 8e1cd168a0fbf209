"""A file that takes a bitmap's bytes: its outputs, its contract, and the checker's findings."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from phone_exports import export_config
from PIL import Image

from mpox.commands.export import export
from mpox.data.photos import open_photo
from mpox.data.working_picture import square
from mpox.errors import UserError
from mpox.files import read_json
from mpox.mobile.check import check
from mpox.mobile.file.input_tensor import PIXELS, as_input
from mpox.mobile.run.golden import GOLDEN, read_golden
from mpox.mobile.run.measure import measure
from mpox.mobile.run.runtime import PhoneModel, binding

SIZE = 96
UINT8 = 0  # ExecuTorch's number for it


@pytest.fixture(scope="module")
def of_bytes(exported: Path, phone_run: Path) -> Path:
    """Folder of the run's float export that takes bytes, in the folder of the others."""
    report = export(export_config(phone_run, exported.parent, "recipe=fp32", f"input={PIXELS}"))
    assert report["name"] == "phones-tf_efficientnet_lite0-fold0-fp32-uint8"
    assert (report["input"], report["verification"]["agreement"]["value"]) == (PIXELS, 1.0)
    return exported.parent / report["name"]


@pytest.mark.slow
def test_its_probabilities_are_those_of_the_file_that_takes_planes(of_bytes: Path) -> None:
    (planes,) = (of_bytes.parent / ".fp32").glob("*.pte")
    bytes_, floats = PhoneModel(of_bytes), PhoneModel(planes)
    photos = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    assert np.allclose(bytes_.logits(photos), floats.logits(photos), atol=1e-4)
    assert np.array_equal(bytes_.logits(photos), bytes_.logits((photos.transpose(0, 3, 1, 2) + 0.2).clip(0, 255)))
    assert bytes_.explain(photos)[1].shape == (2, 4, 3, 3)
    meta = binding()._load_program(str(of_bytes / "model.pte")).load_method("forward").method_meta()
    assert (meta.input_tensor_meta(0).dtype(), meta.input_tensor_meta(0).sizes()) == (UINT8, (1, SIZE, SIZE, 3))
    assert measure(of_bytes / "model.pte", runs=2)["latency_ms"] > 0


@pytest.mark.slow
def test_its_contract_asks_for_bytes(of_bytes: Path) -> None:
    contract = read_json(of_bytes / "contract.json")
    (image,) = contract["methods"]["explain"]["inputs"]
    assert (image["dtype"], image["shape"], image["range"]) == ("uint8", [1, SIZE, SIZE, 3], [0, 255])
    assert contract["constants"]["input"] == PIXELS
    assert "float32" not in " ".join(contract["preprocessing"])


def test_bytes_are_whole() -> None:
    values = as_input(np.full((3, 4, 4), 99.6, "float32"), 4, PIXELS)
    assert values.dtype == np.uint8 and values.shape == (1, 4, 4, 3) and (values == 100).all()


def right(photo: Image.Image) -> np.ndarray:
    return square(photo, SIZE, "bicubic")


def bgr(photo: Image.Image) -> np.ndarray:
    return right(photo)[..., ::-1]


def planes(photo: Image.Image) -> np.ndarray:
    return right(photo).transpose(2, 0, 1)


def bilinear(photo: Image.Image) -> np.ndarray:
    return square(photo, SIZE, "bilinear")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "named"), [(bgr, "B, G, R"), (planes, "planes (NCHW)"), (bilinear, "bilinear filter, not bicubic")]
)
def test_the_checker_names_the_mistake(
    made: Callable[[Image.Image], np.ndarray], named: str, of_bytes: Path, tmp_path: Path
) -> None:
    write_app(of_bytes, tmp_path, made)
    *_, tensors, probabilities = check(of_bytes, tmp_path)
    assert not tensors.passed and named in tensors.text
    if made is not bilinear:  # which may change the probabilities by less than arithmetic does
        assert not probabilities.passed and named in probabilities.text


@pytest.mark.slow
def test_the_checker_passes_an_app_that_gives_the_bytes(of_bytes: Path, tmp_path: Path) -> None:
    write_app(of_bytes, tmp_path, right)
    assert all(finding.passed for finding in check(of_bytes, tmp_path))
    for file in tmp_path.glob("*.u8"):
        np.fromfile(file, "u1").astype("<f4").tofile(file.with_suffix(".f32"))
        file.unlink()
    with pytest.raises(UserError, match=r"photo-0.f32 is no tensor of 96x96x3 uint8 values \(it holds float32\)"):
        check(of_bytes, tmp_path)


def write_app(exported: Path, app: Path, made: Callable[[Image.Image], np.ndarray]) -> None:
    """Write the files of an app that gives these bytes to the model."""
    model, golden = PhoneModel(exported), read_golden(exported / GOLDEN)
    probabilities = {}
    for name, file in zip(golden.names, golden.files, strict=True):
        given = np.ascontiguousarray(made(open_photo(file))).reshape(1, SIZE, SIZE, 3)
        given.tofile(app / f"{name}.u8")
        probabilities[name] = model.run_unchecked(given)[0].tolist()
    (app / "probabilities.json").write_text(json.dumps(probabilities))
