"""The real export.yaml, narrowed to seconds."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from mpox.options import config_dir


def export_config(run: Path, exports: Path, *overrides: str) -> DictConfig:
    """Compose the real export.yaml, narrowed to few photos and little timing."""
    options = [
        *(f"run={run}", f"exports_dir={exports}", "calibration.photos=16", "timing.rounds=1", "capture.photos=0"),
        *("bound.agreement=0.75", "bound.balanced_accuracy=0.25"),
    ]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return compose("export", [*options, *overrides])
