"""The environment of a run: versions, device, commit, peak memory; recorded with its results."""

import functools
import importlib.metadata
import logging
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

log = logging.getLogger("mpox")
# A checkout on a slow network drive is not worth waiting for.
GIT_TIMEOUT_S = 5
PACKAGES = (
    *("mpox", "torch", "torchvision", "executorch", "torchao", "lightning", "timm", "torchmetrics", "hydra-core"),
    *("omegaconf", "wandb", "numpy", "pandas", "pillow", "scikit-learn", "grad-cam", "torch-pruning", "onnx"),
)


@functools.cache
def versions() -> dict[str, str | None]:
    """Return the version of each package the results depend on; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def describe_device(device: torch.device) -> str:
    """Name the device in words: the GPU's name, or the processor with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} of {psutil.cpu_count()} threads, {platform.machine()}"


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak of this process so far, in MB: of the GPU's memory on a GPU, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource  # Windows has none

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


@functools.cache  # the commit this process imported, even if another is made while it runs
def git_commit() -> str | None:
    """Return the commit of the checkout this package is imported from; None outside one.

    `+` follows where it has changes, `?` where git did not answer in time. A failure of git is a warning.
    """
    folder = Path(__file__).resolve().parent
    if not any((above / ".git").exists() for above in folder.parents):
        return None
    commit = None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", None) or str(error)
        log.warning("git does not give the code's state (%s)", " ".join(str(words).split())[:160])
        return commit and f"{commit}?"
    return commit + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=GIT_TIMEOUT_S)
    return done.stdout.strip()


def record(device: torch.device, **facts: Any) -> dict[str, Any]:
    """Return the whole record as plain values for JSON, `facts` (seed, split hash, timings) added."""
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "device": describe_device(device),
        "git_commit": git_commit(),
        "peak_memory_mb": round(peak_memory_mb(device), 1),
        **facts,
    }
