"""One run, and its export in int8: a real EfficientNet-Lite0 with its ImageNet weights, probed on small photos."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from phone_exports import export_config

from mpox.data.synthetic import generate
from mpox.options import config_dir
from mpox.training.job import train

pytest.register_assert_rewrite("app_in_browser", "person_in_browser")


@pytest.fixture(scope="session")
def phone_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the run: 48 synthetic photos of 96 pixels, 3 folds."""
    options = [
        *("model=tf_efficientnet_lite0", "weights=bundled", "schedule=probe", "image_size=96", "trainer=cpu"),
        *("data.subjects_per_class=6", "data.photos_per_subject=2", "data.size=96", "n_folds=3", "logger=none"),
        *("study=phones", f"runs_dir={tmp_path_factory.mktemp('phones')}"),
    ]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("train", options)
    train(cfg)
    return Path(cfg.runs_dir) / "phones" / "tf_efficientnet_lite0" / "fold-0"


@pytest.fixture(scope="session")
def exported(phone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the run's int8_static export; its parent is the exports folder. Read only."""
    from mpox.commands.export import export

    exports = tmp_path_factory.mktemp("exports")
    report = export(export_config(phone_run, exports, "recipe=int8_static", "name=lite0"))
    return exports / report["name"]


@pytest.fixture(scope="session")
def int8_onnx(phone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Report of the run's export with format=onnx recipe=int8_static, with the folder as `place`. Read only."""
    return _onnx(phone_run, tmp_path_factory.mktemp("onnx"), "int8_static")


@pytest.fixture(scope="session")
def float_onnx(phone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same with recipe=fp32."""
    return _onnx(phone_run, tmp_path_factory.mktemp("onnx"), "fp32")


def _onnx(run: Path, folder: Path, recipe: str) -> dict[str, Any]:
    from mpox.commands.export import export

    options = ["format=onnx", f"recipe={recipe}", f"name={recipe}", "timing.rounds=0"]
    return export(export_config(run, folder, *options)) | {"place": folder / recipe}


@pytest.fixture(scope="session")
def export(int8_onnx: dict[str, Any]) -> Path:
    """The folder of the int8 ONNX export, of which the app is made. Read only."""
    place: Path = int8_onnx["place"]
    return place


@pytest.fixture(scope="session")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Synthetic photos of 720 pixels, large enough for the app."""
    folder = tmp_path_factory.mktemp("lesions")
    table = generate(folder, subjects_per_class=1, photos_per_subject=2, size=720, seed=3)
    return [folder / path for path in table["path"]]
