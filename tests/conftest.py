"""What the tests share: the real configuration narrowed to seconds, and photos made for the purpose."""

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from mpox.data import synthetic
from mpox.options import config_dir
from mpox.training.job import train

# Tests run in two processes (pyproject.toml): a thread each, for them and for the commands they start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)

# One epoch of a small CNN on small pictures, random weights, no logger: a job in about a second.
TINY = (
    *(
        "weights=none",
        "model=mobilenetv3_small_100",
        "n_folds=3",
        "image_size=32",
        "batch_size=8",
        "logger=none",
        "trainer=cpu",
        "data=folder",
        "data_guard.search=fast",
    ),
)


# What takes longest begins first, so that no process is left with it at the end; each begins with every other one.
LONGEST = ("tests/mobile/", "tests/test_cli.py", "tests/test_tutorial.py", "tests/test_launchers.py")


class ByModule(LoadFileScheduling):
    """A test module stays in one process; so do all of tests/mobile, whose costly export is then made once.

    (xdist's own groups are lost with pytest 9.2: https://github.com/pytest-dev/pytest-xdist/issues/1386.)
    """

    def _split_scope(self, nodeid: str) -> str:
        module: str = super()._split_scope(nodeid)
        return "tests/mobile" if module.startswith("tests/mobile/") else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByModule:
    config.option.loadscopereorder = False  # by the number of tests, of which the long ones are few
    return ByModule(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        return next((k for k, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))

    items.sort(key=turn)


@pytest.fixture(autouse=True)
def own_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a test runs in this process takes over the project's log: the next test finds it as it was."""
    log = logging.getLogger("mpox")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "propagate", True)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `<class>/<photo>` of 24 small synthetic photos of 12 subjects in four classes."""
    root = tmp_path_factory.mktemp("photos")
    synthetic.generate(root, subjects_per_class=3, photos_per_subject=2, size=48, seed=0)
    for mask in root.glob("masks/*/*"):
        mask.unlink()
    return root


@pytest.fixture
def tiny(tmp_path: Path, photos: Path) -> list[str]:
    """Command-line overrides that make `mpox.train` take about a second and write below `tmp_path`."""
    return [*TINY, f"runs_dir={tmp_path}/runs", f"data.root={photos}"]


@pytest.fixture(scope="session")
def configured_in(photos: Path) -> Callable[..., DictConfig]:
    """Compose the real train.yaml, narrowed to one epoch of a small CNN, to write below a folder."""

    def composed(runs: Path, *overrides: str) -> DictConfig:
        if not any(option.startswith("schedule=") for option in overrides):
            overrides = ("schedule=finetune", "schedule.finetune.epochs=1", *overrides)
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return compose("train", [*TINY, f"runs_dir={runs}", f"data.root={photos}", *overrides])

    return composed


@pytest.fixture
def configured(tmp_path: Path, configured_in: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Compose the real train.yaml with the tiny overrides and those given."""
    return partial(configured_in, tmp_path / "runs")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A runs directory with the study `default`: two CNNs on three folds of `photos`, four classes. Read only."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    options = [*TINY, f"runs_dir={runs}", f"data.root={photos}", "schedule=probe"]
    for model in ("mobilenetv3_small_100", "mnasnet_100"):
        for fold in range(3):
            with initialize_config_dir(config_dir(), version_base="1.3"):
                train(compose("train", [*options, f"model={model}", f"fold={fold}"]))
    return runs


@pytest.fixture(scope="session")
def shared_photos() -> Path:
    """The folder of real photos for trying, which is not part of the project."""
    place = Path(os.environ.get("MPOX_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not place.is_dir():
        pytest.skip(f"no real photos at {place} (MPOX_SHARED_DATA=<folder> says where they are)")
    return place
