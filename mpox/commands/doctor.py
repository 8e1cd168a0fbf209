"""Check the installation: each line good or bad, with the fix. Takes the options of `mpox.train`."""

import importlib.metadata
import logging
import os
import shutil
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from packaging.requirements import Requirement

from mpox.config import build
from mpox.console import results_console
from mpox.errors import NoWeightsError, UserError
from mpox.model.weights import find
from mpox.options import config_dir
from mpox.report.wandb_mode import resolve_mode
from mpox.runs import environment

# Packages built against one another: outside the declared ranges they fail with errors that name no version.
PINNED = ("torch", "torchvision", "executorch", "torchao", "lightning", "timm", "hydra-core")
# Less than this and a sweep's checkpoints may not fit.
FREE_GB = 5.0
# Letters of a line of names, which with its margin fits a terminal of 80 columns.
LISTED = 75


@dataclass(frozen=True)
class Finding:
    """One line of the report; `fix` says what to do about a bad one, `names` are listed below it."""

    good: bool
    what: str
    fix: str = ""
    names: tuple[str, ...] = ()


def check_versions() -> Iterator[Finding]:
    """Compare the installed versions of the pinned set with the ranges this package declares."""
    try:
        declared = {r.name: r for r in map(Requirement, importlib.metadata.requires("mpox") or [])}
    except importlib.metadata.PackageNotFoundError:
        yield Finding(False, "mpox is not installed", "pip install -e . in the checkout")
        return
    for name in PINNED:
        wanted, installed = declared[name], environment.versions().get(name)
        if installed is None:
            yield Finding(False, f"{name} is not installed", f"pip install '{wanted}'")
        elif not wanted.specifier.contains(installed.partition("+")[0], prereleases=True):
            yield Finding(False, f"{name} {installed} is outside {wanted.specifier}", f"pip install '{wanted}'")
        else:
            yield Finding(True, f"{name} {installed}")


def check_devices() -> Iterator[Finding]:
    """Name the devices and how many threads PyTorch will use."""
    yield Finding(True, f"processor: {os.cpu_count()} cores, PyTorch uses {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        yield Finding(True, "no CUDA GPU: training runs on the processor")
    for k in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(k).total_memory / 2**30
        yield Finding(True, f"GPU {k}: {torch.cuda.get_device_name(k)}, {memory:.0f} GiB")


def check_weights(cfg: DictConfig) -> Iterator[Finding]:
    """Report for each CNN where its ImageNet weights would come from; bad where the configured one has none."""
    lacking = []
    for path in sorted(Path(config_dir()).glob("model/*.yaml")):
        model = OmegaConf.load(path)
        try:
            source = find(model.timm_name, cfg.weights.source, cfg.weights.path)
            yield Finding(True, f"weights of {model.name}: {source.kind}")
        except NoWeightsError as error:
            if model.name == cfg.model.name:
                yield Finding(False, f"no weights for {model.name}, the model configured", str(error))
            else:
                lacking.append(f"{model.timm_name}.safetensors")
    if lacking:
        yield Finding(
            True,
            f"no weights found for {len(lacking)} other models, which a sweep leaves out: connect to the hub once "
            "(weights=hub), or give weights=file weights.path=<folder> with these files, those of the models wanted:",
            names=tuple(lacking),
        )


def check_data(cfg: DictConfig) -> Iterator[Finding]:
    """Read the configured photos as training would, decoding each."""
    photos = build(cfg.data, allowed=cfg.allow_targets)
    kept = photos.manifest[photos.manifest["keep"]]
    counts = ", ".join(f"{count} {label}" for label, count in kept["label"].value_counts().items())
    out = len(photos.manifest) - len(kept)
    read = f"{out} left out" if out else "all readable"
    beside = f"; beside them {len(photos.left)} other files" if photos.left else ""
    yield Finding(True, f"data: {len(kept)} photos, {read} ({counts}), {kept['group'].nunique()} groups{beside}")


def check_wandb(cfg: DictConfig) -> Iterator[Finding]:
    """Report where W&B runs would go."""
    if "mode" not in cfg.logger:
        yield Finding(True, "W&B is not used (logger is another)")
        return
    mode = resolve_mode(cfg.logger.mode)
    hint = " (no key: `wandb login` or WANDB_API_KEY makes it online)" if mode == "offline" else ""
    yield Finding(True, f"W&B: {mode}{hint}")


def check_disk(cfg: DictConfig) -> Iterator[Finding]:
    """Report how much space there is where runs are written."""
    place = Path(cfg.runs_dir).absolute()
    place = next(folder for folder in (place, *place.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 2**30
    writable = os.access(place, os.W_OK)
    yield Finding(
        writable and free >= FREE_GB,
        f"{place}: {free:.0f} GiB free{'' if writable else ', not writable'}",
        "give runs_dir=<folder on a larger, writable disk>",
    )


def examine(cfg: DictConfig) -> list[Finding]:
    """Run every check under a composed configuration of `train`; a UserError is a bad finding."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        *(check_versions, check_devices, lambda: check_weights(cfg), lambda: check_data(cfg)),
        *(lambda: check_wandb(cfg), lambda: check_disk(cfg)),
    ]
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except UserError as error:
            what, _, fix = str(error).rpartition(": ")
            findings.append(Finding(False, what or str(error), fix))
    return findings


def run(cfg: DictConfig) -> None:
    """Print the findings. Raises UserError where one is bad."""
    logging.getLogger("mpox").setLevel(logging.ERROR)
    console = results_console()
    findings = examine(cfg)
    for finding in findings:
        console.print("[green]good[/]" if finding.good else "[red]bad [/]", end=" ", markup=True)
        console.print(finding.what)
        for line in textwrap.wrap(", ".join(finding.names), LISTED, break_on_hyphens=False):
            console.print(f"     {line}")
        if not finding.good:
            console.print(f"     fix: {finding.fix}")
    if bad := sum(not finding.good for finding in findings):
        raise UserError(f"{bad} of {len(findings)} findings are bad: each has its fix above")
