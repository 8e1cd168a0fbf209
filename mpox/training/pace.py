"""`auto`: how many CPU threads a job takes and whether it trains in bfloat16, by steps of training on this machine."""

import copy
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional as F

from mpox.cached import kept
from mpox.config import plain
from mpox.model.backbone import PhotoClassifier
from mpox.model.classifier import LesionClassifier
from mpox.runs.environment import describe_device
from mpox.runs.processor import processor_facts
from mpox.training.inputs import FoldInputs
from mpox.training.length import but_length

log = logging.getLogger("mpox")
AUTO = "auto"
FULL, REDUCED = "32-true", "bf16-mixed"
# What does not take less than this share of the time is not worth more cores, or other roundings.
WORTH = 0.9
# Steps for each setting: the first ones compile kernels and fill caches, the fastest of the others counts.
UNTIMED, TIMED = 1, 2


@dataclass(frozen=True)
class Pace:
    """What a job trains with: CPU threads (None: as they are), precision, and seconds of a step by what was tried."""

    threads: int | None
    precision: str
    seconds: Mapping[str, float]


def settled(cfg: DictConfig, network: PhotoClassifier, inputs: FoldInputs, device: torch.device) -> Pace | None:
    """Return what `threads=auto` and `trainer.precision=auto` are here; None where neither is asked for.

    It is measured once for a CNN, its schedule and this machine, and kept in `cache_dir`: all folds train alike.
    """
    if AUTO not in (cfg.threads, cfg.trainer.precision):
        return None
    if not cfg.schedule.get("finetune"):
        return Pace(None, FULL if cfg.trainer.precision == AUTO else cfg.trainer.precision, {})
    path = Path(cfg.cache_dir) / f"pace-{_key(cfg, device)}.json"
    pace = kept(path, partial(_measure, cfg, network, inputs, device), _save, _load)
    tried = ", ".join(f"{seconds:.2f} s ({what})" for what, seconds in pace.seconds.items())
    log.info(
        "threads=%s, trainer.precision=%s; tried, a step of training: %s",
        pace.threads or "unchanged",
        pace.precision,
        tried,
    )
    cores, one = torch.get_num_threads(), pace.seconds.get(f"1 thread {FULL}")
    if one is not None and (gain := cores * min(pace.seconds.values()) / one) > 1 / WORTH:
        log.info(
            "jobs of one thread on all %d cores may do %.1f times as much: hydra/launcher=joblib threads=1", cores, gain
        )
    return pace


def with_pace(cfg: DictConfig, pace: Pace) -> DictConfig:
    """Return the configuration with what was settled, and set this process's threads."""
    if pace.threads is not None:
        torch.set_num_threads(pace.threads)
    changed = cfg.copy()
    changed.trainer.precision = pace.precision
    return changed


def _measure(cfg: DictConfig, network: PhotoClassifier, inputs: FoldInputs, device: torch.device) -> Pace:
    images = _images(cfg, inputs).to(device)
    module = _module(cfg, network).to(device)
    seconds: dict[str, float] = {}
    before = torch.get_num_threads()
    one_process = device.type == "cpu" and cfg.trainer.devices == 1

    def step(threads: int, precision: str) -> float:
        torch.set_num_threads(threads)
        try:
            taken = _step_seconds(module, images, precision)
        finally:
            torch.set_num_threads(before)
        seconds[f"{threads} thread{'s' * (threads > 1)} {precision}"] = round(taken, 4)
        return taken

    precision = FULL if cfg.trainer.precision == AUTO else cfg.trainer.precision
    threads = cfg.threads
    if threads == AUTO:
        threads = fewest({n: step(n, precision) for n in _numbers(before)}) if one_process else before
    if cfg.trainer.precision == AUTO and _has_bfloat16(device):
        n = threads or before
        if step(n, REDUCED) < WORTH * step(n, FULL):
            precision = REDUCED
    return Pace(threads, precision, seconds)


def fewest(seconds: Mapping[int, float]) -> int:
    """Return the smallest number of threads that is about as fast as the fastest."""
    return min(n for n, taken in seconds.items() if WORTH * taken <= min(seconds.values()))


def _numbers(cores: int) -> list[int]:
    """1, 2, 4, … up to all cores."""
    return sorted({min(2**k, cores) for k in range(cores.bit_length() + 1)})


def _module(cfg: DictConfig, network: PhotoClassifier) -> LesionClassifier:
    """A copy that is trained as the schedule says: the network itself stays as it is."""
    schedule = but_length(cfg.schedule.finetune)
    module = LesionClassifier(copy.deepcopy(network), torch.optim.SGD, epochs=1, **schedule)
    module.train()
    module.freeze_norms()
    return module


def _images(cfg: DictConfig, inputs: FoldInputs) -> Tensor:
    photos = inputs.data.view(0)
    images: Tensor = photos.__getitems__([k % len(photos) for k in range(cfg.batch_size)])["image"]
    return images


def _step_seconds(module: LesionClassifier, images: Tensor, precision: str) -> float:
    device = images.device
    targets = torch.zeros(len(images), dtype=torch.int64, device=device)
    taken = []
    for _ in range(UNTIMED + TIMED):  # what dropout draws is not missed: each step of a training seeds its own
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == REDUCED):
            loss = F.cross_entropy(module(images), targets)
        loss.backward()
        module.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return min(taken[UNTIMED:])


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(processor_facts()["bf16"])


def _key(cfg: DictConfig, device: torch.device) -> str:
    asked = [plain(cfg.model), plain(cfg.schedule.finetune), plain(cfg.augment), cfg.batch_size, cfg.image_size]
    settings = [cfg.threads, cfg.trainer.precision, torch.__version__]
    machine = [processor_facts(), describe_device(device)]
    return hashlib.sha256(json.dumps([asked, settings, machine], default=str).encode()).hexdigest()[:16]


def _save(pace: Pace, path: Path) -> None:
    path.write_text(json.dumps(asdict(pace)))


def _load(path: Path) -> Pace:
    return Pace(**json.loads(path.read_text()))
