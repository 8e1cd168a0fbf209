"""How fast a job trains, against two loops that run between its epochs, in the same process on the same network."""

import copy
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

from mpox.benchmark.baseline import photo_folder, train_transform
from mpox.data.module import Batch
from mpox.files import write_json

# The first epochs find memory cold and worker threads asleep.
WARM_UP_EPOCHS = 1


class Pace(L.Callback):
    """Lightning callback of a real `mpox.train` job: times every epoch's steps, then as many of the other loops.

    `bare` steps over batches that lie in memory, augmented before: forward, loss, backward, clipping, optimizer, and
    nothing else; no training can be faster. `plain` is the loop of the usual template: ImageFolder of `photos`, a
    folder `<class>/<photo>`, torchvision's transforms, a DataLoader with each number of `workers`. All train the same
    layers with the same optimizer. They take turns within each epoch, so that a busy machine slows all alike. Writes
    `path` (JSON): photos a second of each epoch and loop, and seconds a step of the stages of the bare loop.
    """

    def __init__(self, path: str, photos: str | None = None, workers: Iterable[int] = (0,)) -> None:
        self.path, self.photos, self.workers = Path(path), photos, list(workers)
        self.rates: dict[str, list[float]] = {}
        self.stages: dict[str, list[float]] = {"forward": [], "backward": [], "update": []}
        self.batches: list[tuple[Tensor, Tensor]] = []
        self.seconds = self.start = 0.0

    def on_fit_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Copy what is trained, for the other loops."""
        self.network = copy.deepcopy(pl_module.network)
        self.twin = copy.copy(pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Begin the epoch's time; it ends with the last step, before validation."""
        _settle(pl_module.device)
        self.start = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Keep the first epoch's batches for the bare loop; end the epoch's time."""
        if trainer.current_epoch == 0:
            self.batches.append((batch["image"].clone(memory_format=torch.preserve_format), batch["target"].clone()))
        if batch_idx + 1 == trainer.num_training_batches:
            _settle(pl_module.device)
            self.seconds = time.perf_counter() - self.start

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Run the other loops for as many steps; a warm-up epoch counts for none of them."""
        measured = trainer.current_epoch >= WARM_UP_EPOCHS
        n = sum(len(targets) for _, targets in self.batches)
        rates = {"mpox": n / self.seconds}
        step = self._step(trainer, pl_module)
        for values in self.stages.values():
            values.clear() if not measured else None
        rates["bare"] = n / _timed(step, self.batches, pl_module.device)
        for count in self.workers if self.photos else []:
            loader = self._plain(trainer, len(self.batches), count)
            rates[f"plain, {count} workers"] = n / _timed(step, loader, pl_module.device)
        if measured:
            for name, rate in rates.items():
                self.rates.setdefault(name, []).append(rate)

    def on_fit_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Write the figures."""
        steps = {name: statistics.median(values) for name, values in self.stages.items()}
        write_json(self.path, {"photos_per_second": self.rates, "seconds_per_step": steps})

    def _plain(self, trainer: Any, n_batches: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        data = trainer.datamodule
        side = self.batches[0][0].shape[-1]
        folder = photo_folder(Path(str(self.photos)), train_transform(side))
        loader: Any = DataLoader(folder, data.batch_size, shuffle=True, num_workers=workers, drop_last=True)
        while n_batches > 0:
            for batch in loader:
                if n_batches == 0:
                    return
                yield batch
                n_batches -= 1

    def _step(self, trainer: Any, module: Any) -> Callable[[Tensor, Tensor], None]:
        network = self.network.to(module.device)
        for mine, its in zip(network.modules(), module.network.modules(), strict=True):
            mine.training = its.training
        groups = _same_groups(module, network)
        optimizer, trained = module.optimizer_factory(groups), [p for group in groups for p in group["params"]]
        clip, smoothing = trainer.gradient_clip_val, module.label_smoothing

        def step(images: Tensor, targets: Tensor) -> None:
            times = [time.perf_counter()]
            images, targets = images.to(module.device), targets.to(module.device)
            with trainer.precision_plugin.train_step_context():
                loss = F.cross_entropy(network(images), targets, weight=module.class_weights, label_smoothing=smoothing)
            times.append(time.perf_counter())
            optimizer.zero_grad()
            loss.backward()
            times.append(time.perf_counter())
            if clip:
                torch.nn.utils.clip_grad_norm_(trained, clip)
            optimizer.step()
            times.append(time.perf_counter())
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


def _timed(step: Callable[[Tensor, Tensor], None], batches: Iterable[Any], device: torch.device) -> float:
    _settle(device)
    start = time.perf_counter()
    for images, targets in batches:
        step(images, targets)
    _settle(device)
    return time.perf_counter() - start


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
