"""How fast a job trains, against loops that take turns with it, in the same process on the same network."""

import copy
import functools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.baseline import photo_folder, train_transform
from mpox.data.module import Batch
from mpox.files import write_json

# The first steps find memory cold and worker threads asleep.
WARM_UP_STEPS = 2


class Pace(L.Callback):
    """Lightning callback of a real `mpox.train` job: after each of its steps, one of each other loop, all timed.

    `bare` is a step on the same batch, in memory and augmented: forward, loss, backward, clipping, optimizer, nothing
    else; no training can be faster. `plain` is the loop of the usual template: ImageFolder of `photos`, a folder
    `<class>/<photo>`, torchvision's transforms, a DataLoader with each number of `workers`. All train the same layers
    with the same optimizer. They take turns step by step, so that a busy machine slows all alike. Writes `path` (JSON):
    photos a second of each loop and step, and seconds a step of the stages of the bare loop. `clock`: `wall`, or
    `processor` for a busy machine (of one thread; what waits for nothing costs the same in both).
    """

    def __init__(
        self, path: str, photos: str | None = None, workers: Iterable[int] = (0,), clock: str = "wall"
    ) -> None:
        self.path, self.photos, self.workers = Path(path), photos, list(workers) if photos else []
        self.rates: dict[str, list[float]] = {}
        self.stages: dict[str, list[float]] = {"forward": [], "backward": [], "update": []}
        self.loaders: dict[str, Iterator[tuple[Tensor, Tensor]]] = {}
        self.steps, self.start = 0, 0.0
        self.clock = {"wall": time.perf_counter, "processor": time.process_time}[clock]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Make the other loops; begin the time of the first step."""
        if trainer.current_epoch == 0:
            self.network = copy.deepcopy(pl_module.network).to(pl_module.device)
        self.step = self._step(trainer, pl_module)
        self.start = self.clock()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """End the job's step, whose time began with the end of the last; take the others' steps."""
        _settle(pl_module.device)
        seconds = {"mpox": self.clock() - self.start}
        n, side = len(batch["target"]), batch["image"].shape[-1]
        seconds["bare"] = self._timed(lambda: (batch["image"], batch["target"]), pl_module.device)
        for count in self.workers:
            name = f"plain, {count} workers"
            if name not in self.loaders:
                self.loaders[name] = self._plain(side, n, count)
            seconds[name] = self._timed(functools.partial(next, self.loaders[name]), pl_module.device)
        self.steps += 1
        if self.steps > WARM_UP_STEPS:
            for name, value in seconds.items():
                self.rates.setdefault(name, []).append(n / value)
        else:
            for values in self.stages.values():
                values.clear()
        self.start = self.clock()

    def on_fit_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Write the figures."""
        self.loaders.clear()
        steps = {name: statistics.median(values) for name, values in self.stages.items()}
        write_json(self.path, {"photos_per_second": self.rates, "seconds_per_step": steps})

    def _plain(self, side: int, batch_size: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        folder = photo_folder(Path(str(self.photos)), train_transform(side))
        loader: Any = DataLoader(folder, batch_size, shuffle=True, num_workers=workers, drop_last=True)
        while True:
            yield from loader

    def _timed(self, batch: Callable[[], tuple[Tensor, Tensor]], device: torch.device) -> float:
        start = self.clock()
        self.step(*batch())
        _settle(device)
        return self.clock() - start

    def _step(self, trainer: Any, module: Any) -> Callable[[Tensor, Tensor], None]:
        network = self.network
        for mine, its in zip(network.modules(), module.network.modules(), strict=True):
            mine.training = its.training
        groups = _same_groups(module, network)
        optimizer, trained = module.optimizer_factory(groups), [p for group in groups for p in group["params"]]
        clip, smoothing = trainer.gradient_clip_val, module.label_smoothing

        def step(images: Tensor, targets: Tensor) -> None:
            times = [self.clock()]
            images, targets = images.to(module.device), targets.to(module.device)
            with trainer.precision_plugin.train_step_context():
                loss = F.cross_entropy(network(images), targets, weight=module.class_weights, label_smoothing=smoothing)
            times.append(self.clock())
            optimizer.zero_grad()
            loss.backward()
            times.append(self.clock())
            if clip:
                torch.nn.utils.clip_grad_norm_(trained, clip)
            optimizer.step()
            times.append(self.clock())
            for values, first, last in zip(self.stages.values(), times, times[1:], strict=False):
                values.append(last - first)

        return step


def _same_groups(module: Any, network: torch.nn.Module) -> list[dict[str, Any]]:
    """Return the optimizer's parameter groups of `module`, each parameter replaced by that of the copied network."""
    names = {id(parameter): name for name, parameter in module.network.named_parameters()}
    groups = []
    for group in module._parameter_groups():
        own = [network.get_parameter(names[id(parameter)]) for parameter in group["params"]]
        groups.append({**group, "params": own})
    return groups


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
