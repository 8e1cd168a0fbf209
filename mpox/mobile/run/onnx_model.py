"""An exported `.onnx` as an app with onnxruntime runs it, with the interface of `PhoneModel`. No PyTorch."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from mpox.data.working_picture import resize_of
from mpox.errors import UserError
from mpox.mobile.file.contract import checked_facts, rule_of
from mpox.mobile.file.input_tensor import as_input
from mpox.mobile.file.onnx_session import FACTS, INPUT, MAPS, MAPS_INSIDE, OUTPUT, open_session
from mpox.mobile.file.package import AGAIN, ONNX_FILE
from mpox.stats.pooled import softmax


class OnnxModel:
    """One `.onnx` in onnxruntime on the processor. `path` is the file, or the folder with it as `model.onnx`.

    `precise`: with kernels that cannot saturate. Attributes are those of `PhoneModel`. Raises UserError for a file that
    is missing, broken or not written by this tool.
    """

    def __init__(self, path: str | Path, threads: int = 1, *, precise: bool = False) -> None:
        place = Path(path).expanduser()
        self.path = place / ONNX_FILE if place.is_dir() else place
        self._session = open_session(self.path, threads, precise=precise)
        stored = self._session.get_modelmeta().custom_metadata_map.get(FACTS)
        if stored is None:
            raise UserError(f"{self.path} has no labels in its metadata: it was not exported by this tool")
        try:
            self.facts = checked_facts(json.loads(stored), self.path)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{self.path} holds metadata that are no JSON: {AGAIN}") from error
        self.labels: tuple[str, ...] = tuple(self.facts["labels"])
        self.image_size: int = self.facts["image_size"]
        self.interpolation: str = self.facts["interpolation"]
        self.resize: str = resize_of(self.facts)
        self.temperature: float = self.facts["temperature"]
        self.positive: int | None = self.facts.get("positive")
        self.rule = rule_of(self.facts)

    @property
    def explains(self) -> bool:
        """Whether the file gives maps; those of earlier versions do not."""
        return MAPS_INSIDE in self._session.get_modelmeta().custom_metadata_map

    @functools.cached_property
    def _explaining(self) -> Any:
        """The file with its maps as an output, opened when they are first asked for."""
        return open_session(self.path, 1, maps=True)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C) float32; `images` as `PhoneModel.probabilities` takes them."""
        return softmax(self._run(images)).astype("float32")

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return logits (N, C) float32, before temperature and softmax."""
        return self._run(images) * np.float32(self.temperature)

    def explain(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N, C) and maps (N, C, h, w), as `PhoneModel.explain` does. Raises UserError without maps."""
        if not self.explains:
            raise UserError(
                f"{self.path} has no maps (its contract.json gives the reason): python -m mpox.explain makes them"
            )
        tensors = as_input(images, self.image_size)
        results = [self._explaining.run([OUTPUT, MAPS], {INPUT: one[None]}) for one in tensors]
        logits, maps = (np.concatenate(parts) for parts in zip(*results, strict=True))
        return logits * np.float32(self.temperature), maps

    def run_unchecked(self, tensors: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C) of float32 tensors (N, 3, S, S), whose values are not checked."""
        return softmax(self._execute(tensors)).astype("float32")

    def _run(self, images: np.ndarray) -> np.ndarray:
        return self._execute(as_input(images, self.image_size))

    def _execute(self, tensors: np.ndarray) -> np.ndarray:
        """The logits with the temperature in them, one photo at a time, as a phone would; format 1 gives raw ones."""
        given = np.concatenate([self._session.run([OUTPUT], {INPUT: one[None]})[0] for one in tensors])
        return given / np.float32(self.temperature) if self.facts["format"] == 1 else given
