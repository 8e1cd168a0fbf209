"""`mpox.load`: the answers of `mpox.predict`, for files, pictures, arrays; the examples of docs/reference/python.md."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

import mpox
from mpox.commands.compare import compare
from mpox.commands.predict import predict
from mpox.errors import UserError
from mpox.options import config_dir

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"


def test_answers_are_those_of_the_command(exported: Path, phone_run: Path, photos: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(next(photos.glob("mpox/*.jpg"))).save(turned, exif=exif)
    files = [turned, *sorted(photos.glob("*/*.jpg"))[::5]]
    for place in (exported, phone_run):
        with initialize_config_dir(config_dir(), version_base="1.3"):
            options = [f"of={place}", f"photos=[{','.join(map(str, files))}]"]
            asked = predict(compose("predict", options))["photos"]
        model = mpox.load(place)
        for one, file in zip(asked, files, strict=True):
            answer = model.predict(file)
            assert {"path": one["path"], **vars(answer)} == one
            with Image.open(file) as picture:
                assert model.predict(picture) == answer
                assert picture.info or file != turned  # the caller's picture keeps its EXIF
        upright = np.asarray(Image.open(files[1]).convert("RGB"))
        assert model.predict(upright) == model.predict(files[1])


def test_an_array_of_another_kind_is_refused(exported: Path) -> None:
    with pytest.raises(UserError, match=r"float64 \(8, 8, 3\) is no photo: give \(height, width, 3\) uint8, RGB"):
        mpox.load(exported).predict(np.zeros((8, 8, 3)))


@pytest.mark.slow
def test_the_examples_of_the_page_run(
    exported: Path, phone_run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "mine").symlink_to(exported)
    shutil.copytree(phone_run.parents[1], tmp_path / "runs" / "mine")
    shutil.copy(next(photos.glob("mpox/*.jpg")), tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(config_dir(), version_base="1.3"):
        compare(compose("compare", ["study=mine", "logger.mode=disabled", "resamples=100", "allow_partial=true"]))
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["answer"].label in names["model"].labels  # type: ignore[attr-defined]
