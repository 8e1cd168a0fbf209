"""A package that knows nothing of this one's insides brings a source, a task, a transform and a callback; no fork."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from mpox.commands.explain import explain
from mpox.commands.export import export
from mpox.data import synthetic
from mpox.errors import UserError
from mpox.files import read_json
from mpox.mobile.check import check
from mpox.model.checkpoint import load_checkpoint
from mpox.options import config_dir
from mpox.runs.opened import open_run
from mpox.training.job import train

PARTS = '''
"""Photos listed in a table of the ward, sorted by what is to be done; slightly too dark ones added."""

import lightning as L
import numpy as np
import pandas as pd
import torch
from pathlib import Path

from mpox.data.sources import PhotoSet, from_table
from mpox.data.task import Targets

CLASSES = ("isolate", "reassure")


def listed(root: str, table: str = "list.csv", strict: bool = True) -> PhotoSet:
    rows = pd.read_csv(Path(root) / table)
    frame = pd.DataFrame({"path": rows["file"], "label": rows["seen"], "subject": rows["patient"]})
    return from_table(frame, Path(root), source="ward", strict=strict)


def action(labels: pd.Series, *, contagious: list[str]) -> Targets:
    return Targets(CLASSES, (~labels.isin(contagious)).to_numpy("int64"), 0)


class Darker:
    """A transform in the manner of albumentations: arrays (S, S, 3) in and out, under the name `image`."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        return {"image": (image * self.share).astype(np.uint8)}


class OnArrays:
    """Such a transform on a photo (3, S, S) uint8, as training hands it over."""

    def __init__(self, transform: Darker) -> None:
        self.transform = transform

    def __call__(self, photo: torch.Tensor) -> torch.Tensor:
        changed = self.transform(image=photo.permute(1, 2, 0).numpy())["image"]
        return torch.from_numpy(changed).permute(2, 0, 1)


class Brightness(L.Callback):
    """Note the mean of every batch trained on."""

    def __init__(self, path: str) -> None:
        self.path, self.means = Path(path), []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.means.append(float(batch["image"].float().mean()))

    def on_fit_end(self, trainer, pl_module) -> None:
        self.path.write_text(str(self.means))
'''
DATA = "_target_: ward.parts.listed\nroot: null\n"
TASK = "_target_: ward.parts.action\n_partial_: true\ncontagious: [mpox, chickenpox]\n"
AUGMENT = """
transforms:
  darker: {_target_: ward.parts.OnArrays, transform: {_target_: ward.parts.Darker, share: 0.25}}
mix: null
"""


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the package `ward`, with configurations beside its code, and of its photos."""
    package = tmp_path / "own" / "ward"
    for name, text in (("data/ward", DATA), ("task/action", TASK), ("augment/dim", AUGMENT)):
        (package / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (package / "conf" / f"{name}.yaml").write_text(text)
    (package / "__init__.py").touch()
    (package / "parts.py").write_text(PARTS)
    photos = tmp_path / "photos"
    photos.mkdir()
    made = synthetic.generate(photos, subjects_per_class=3, photos_per_subject=2, size=64, seed=0)
    rows = pd.DataFrame({"file": made["path"], "seen": made["label"], "patient": made["subject"]})
    rows.to_csv(photos / "list.csv", index=False)
    monkeypatch.syspath_prepend(package.parent)
    return package


@pytest.fixture
def configured(ward: Path, tmp_path: Path) -> Callable[..., DictConfig]:
    """Compose train.yaml with what the package brings."""

    def composed(*overrides: str) -> DictConfig:
        options = [
            *(f"hydra.searchpath=[file://{ward}/conf]", "data=ward", "task=action", "augment=dim", "trainer=cpu"),
            *(f"data.root={tmp_path}/photos", f"runs_dir={tmp_path}/runs", "logger=none", "weights=none", "n_folds=3"),
            *("model.name=tiny", "model.timm_name=test_efficientnet.r160_in1k", "image_size=64", "batch_size=4"),
            *("schedule=finetune", "schedule.finetune.epochs=1"),
            f"+callbacks.brightness={{_target_: ward.parts.Brightness, path: {tmp_path}/means.json}}",
        ]
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return compose("train", [*options, *overrides])

    return composed


def command(name: str, *options: str) -> DictConfig:
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return compose(name, list(options))


def test_an_own_package_takes_part_only_where_the_command_allows_it(
    configured: Callable[..., DictConfig], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"ward\.parts\.\w+ is refused.*allow_targets=\[ward\] adds a package"):
        train(configured())
    with pytest.raises(UserError, match=r"ward\.parts\.\w+ is refused"):
        train(configured("allow_targets=[war]"))  # part of a name is another package
    assert not (tmp_path / "means.json").exists()


@pytest.mark.slow
def test_a_run_of_an_own_package_is_trained_then_explained_and_exported_without_it(
    configured: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = train(configured("allow_targets=[ward]"))
    assert result["classes"] == ["isolate", "reassure"] and result["positive"] == "isolate"
    run = tmp_path / "runs" / "default" / "tiny" / "fold-0"
    means = json.loads((tmp_path / "means.json").read_text())
    opened = open_run(run)
    assert len(means) >= 2 and np.mean(means) == pytest.approx(0.25 * opened.pixels.mean(), rel=0.1)
    written = (run / "status.json").stat().st_mtime_ns
    assert train(configured("allow_targets=[ward]")) == result
    assert (run / "status.json").stat().st_mtime_ns == written  # finished, hence skipped

    # Another person has the run and the photos, not the package.
    for name in [name for name in sys.modules if name.partition(".")[0] == "ward"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not place.endswith("own")])
    card = load_checkpoint(run / "checkpoint.ckpt")[1]
    labels = opened.photos["label"]
    assert card.targets == {label: int(label not in ("mpox", "chickenpox")) for label in labels.unique()}
    assert opened.photos["target"].tolist() == [card.targets[label] for label in labels]
    explained = explain(command("explain", f"run={run}", "wandb=false"))
    assert explained["photos"] == len(opened.rows("test"))
    index = pd.read_parquet(Path(explained["folder"]) / "index.parquet")
    assert set(index["label"]) == {"isolate", "reassure"}
    options = [
        "recipe=fp32",
        "bound.agreement=0",
        "timing.rounds=0",
        "capture.photos=0",
        f"exports_dir={tmp_path}/exports",
    ]
    report = export(command("export", f"run={run}", *options))
    exported = tmp_path / "exports" / report["name"]
    assert read_json(exported / "contract.json")["constants"]["labels"] == ["isolate", "reassure"]
    assert all(finding.passed for finding in check(exported))
