"""What would go wrong on a GPU and can be seen without one: tensors of two places meeting, and steps that wait."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.accelerators import AcceleratorRegistry, CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy, StrategyRegistry
from omegaconf import DictConfig
from simulated_gpu import DEVICE, Far, simulated_gpu
from torchvision.transforms import v2

from mpox.commands.explain import explain
from mpox.data.module import FoldData
from mpox.model.backbone import build, input_record
from mpox.model.classifier import LesionClassifier
from mpox.options import config_dir
from mpox.stats.predictions import PREFIX, read_predictions
from mpox.training.job import train

NAME = "mobilenetv3_small_100.lamb_in1k"
N, SIDE = 12, 40
STUDIES = ("here", "there")


class SimulatedAccelerator(CPUAccelerator):
    """What Lightning must know of a device."""

    def setup_device(self, device: torch.device) -> None:
        pass

    @staticmethod
    def parse_devices(devices: int) -> int:
        return devices

    @staticmethod
    def get_parallel_devices(devices: int) -> list[torch.device]:
        return [DEVICE] * devices

    @staticmethod
    def name() -> str:
        return "simulated"


@pytest.fixture
def trainer_of_it() -> Iterator[tuple[str, ...]]:
    """Options with which `mpox.train` trains on the simulated GPU."""
    AcceleratorRegistry.register("simulated", SimulatedAccelerator)
    StrategyRegistry.register("simulated", SingleDeviceStrategy, device=DEVICE)
    yield "trainer.accelerator=simulated", "+trainer.strategy=simulated"
    del AcceleratorRegistry["simulated"], StrategyRegistry["simulated"]


def test_it_computes_refuses_and_counts() -> None:
    with simulated_gpu() as traffic:
        there = torch.arange(4.0).to(DEVICE)
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.ones(4)
        assert isinstance(there * 2 + 1, Far)
        assert (there * 2 + 1).cpu().tolist() == [1, 3, 5, 7]
        assert torch.tensor([1, 2], device=DEVICE).sum().item() == 3
        assert traffic == {"to": 2, "from": 1, "waited": 1}


def test_a_training_step_brings_nothing_and_waits_for_nothing() -> None:
    """Photos lie there and are augmented there: once rows and draws have come, the processor runs ahead."""
    jitter = v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2)
    turn = v2.RandomRotation(20, interpolation=v2.InterpolationMode.BILINEAR)
    transform = v2.Compose([turn, v2.RandomHorizontalFlip(), jitter])
    pixels = np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE, 3), np.uint8)
    roles = np.array(["train"] * N)
    data = FoldData(pixels, np.arange(N) % 3, roles, batch_size=N, transform=transform, photos_on="device")
    module = LesionClassifier(
        build(NAME, 3, input_record(NAME, SIDE)), torch.optim.AdamW, epochs=1, class_weights=torch.ones(3)
    )
    (batch,) = data.train_dataloader()
    with simulated_gpu() as traffic:
        module.to(DEVICE)
        there = {name: value.to(DEVICE) for name, value in batch.items()}
        optimizer = torch.optim.AdamW(module.parameters())
        traffic.clear()
        there = data.on_after_batch_transfer(there, 0)
        assert traffic["to"] == 1  # the photos, which a store's file keeps there for all steps
        module.training_step(there, 0).backward()
        optimizer.step()
    assert {name: traffic[name] for name in ("to", "from", "waited")} == {"to": 1, "from": 0, "waited": 0}


@pytest.mark.parametrize("schedule", ["probe", pytest.param("probe_then_finetune", marks=pytest.mark.slow)])
def test_a_job_there_predicts_what_one_here_does(
    configured: Callable[..., DictConfig], trainer_of_it: tuple[str, ...], schedule: str, tmp_path: Path
) -> None:
    options = (f"schedule={schedule}", "photos_on=device", "callbacks=averaged", "augment=mixup")
    options += ("schedule.finetune.epochs=2",) if schedule != "probe" else ()
    train(configured(*options, "study=here", f"cache_dir={tmp_path}/here"))
    with simulated_gpu() as traffic:
        train(configured(*options, *trainer_of_it, "study=there", f"cache_dir={tmp_path}/there"))
    assert traffic["to"] > 100  # it was there
    here, there = (
        read_predictions(next((tmp_path / "runs" / study).rglob("predictions.parquet")))[0] for study in STUDIES
    )
    logits = [name for name in here if name.startswith(PREFIX)]
    pd.testing.assert_frame_equal(here.drop(columns=logits), there.drop(columns=logits))
    apart = np.abs(here[logits].to_numpy() - there[logits].to_numpy()).max()
    assert apart < 0.01 * here[logits].to_numpy().std()  # sums are rounded in another order


@pytest.mark.slow
def test_maps_faithfulness_and_audit_there_are_those_of_here(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "default" / "mobilenetv3_small_100" / "fold-0"
    shutil.copytree(trained / "default", tmp_path / "default")

    def explained(command: str, device: torch.device | str) -> dict[str, object]:
        options = [f"run={run}", f"command={command}", f"device={device}", f"cache_dir={tmp_path}/cache"]
        sizes = ["faithfulness.photos=4", "faithfulness.road_photos=2", "faithfulness.siblings=false", "audit.photos=4"]
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return explain(compose("explain", [*options, *sizes]))

    for command in ("maps", "faithfulness", "audit"):
        here = explained(command, "cpu")
        with simulated_gpu() as traffic:
            there = explained(command, DEVICE)
        assert traffic["to"] > 100
        assert here["lines"] == there["lines"]
