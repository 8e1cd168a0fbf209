"""A network in PyTorch with the interface of an exported file; and a finished run with its own decision rule."""

from pathlib import Path

import numpy as np
import torch

from mpox.command_line import command
from mpox.errors import UserError
from mpox.mobile.file.input_tensor import as_input
from mpox.mobile.file.network import PhoneNetwork
from mpox.model.checkpoint import load_checkpoint
from mpox.model.class_maps import why_no_maps
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.held_out import rule_of_run


class NetworkModel:
    """A network as a `mpox.mobile.run.decision_rule.Predictor`."""

    def __init__(
        self, network: PhoneNetwork, labels: tuple[str, ...], interpolation: str, resize: str, temperature: float
    ) -> None:
        self._network, self.labels, self.image_size = network, labels, network.image_size
        self.interpolation, self.resize, self.temperature = interpolation, resize, temperature

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C) float32 at the temperature."""
        return torch.softmax(self._run(images)[0] / self.temperature, 1).numpy()

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return logits (N, C) float32."""
        return self._run(images)[0].numpy()

    @torch.no_grad()
    def _run(self, images: np.ndarray) -> tuple[torch.Tensor, ...]:
        return self._network(torch.from_numpy(as_input(images, self.image_size)))


class RunModel(NetworkModel):
    """The network of a run directory; `path` is the directory or the checkpoint in it.

    The rule from logits to an answer is that of an export (`mpox.study.held_out.rule_of_run`), for `sensitivity` of
    mpox. Attributes and methods are those of `mpox.mobile.run.runtime.PhoneModel`. Raises UserError for anything but a
    finished run.
    """

    def __init__(self, path: str | Path, sensitivity: float) -> None:
        place = Path(path).expanduser()
        self.path = place.parent if place.suffix == ".ckpt" else place
        network, card = load_checkpoint(self.path / "checkpoint.ckpt")
        self.positive = card.positive
        self.rule = rule_of_run(self.path, ComparisonOptions(target_sensitivity=sensitivity))
        size = card.record.image_size
        noise = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 255
        self.explains = why_no_maps(network, noise) is None
        phone = PhoneNetwork(network, image_size=size, maps=self.explains)
        record = card.record
        super().__init__(phone, card.classes, record.interpolation, record.resize, self.rule.temperature)

    def explain(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N, C) and one class activation map a class (N, C, h, w), float32, raw and signed.

        Raises UserError for a network whose maps are not exact.
        """
        if not self.explains:
            raise UserError(f"{self.path} has no exact maps: {command('mpox.explain', run=self.path)} makes them")
        logits, maps = self._run(images)
        return logits.numpy(), maps.numpy()
