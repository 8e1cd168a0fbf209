"""An exported model as a phone runs it: the file and ExecuTorch's runtime, without the training code.

Everything an app needs to know is read from the file's own constant methods (`mpox.mobile.file.contract` lists them).
"""

import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mpox.data.working_picture import resize_of
from mpox.errors import UserError, reason_of
from mpox.files import sha256_of
from mpox.mobile.file.contract import checked_facts, rule_of
from mpox.mobile.file.input_tensor import PLANES, as_input
from mpox.mobile.file.package import MODEL_FILE, SUMS_FILE, recorded_sums
from mpox.mobile.run.native_output import native_stderr_discarded
from mpox.stats.pooled import softmax

# A program's header: length of the flatbuffer's root, its identifier, then ExecuTorch's own fields (extended_header.h).
IDENTIFIER, EXTENSION = slice(4, 6), slice(8, 12)
HEADER = struct.Struct("<I4s4sIQQQ")


class PhoneModel:
    """One exported `.pte`, loaded. `path` is the file, or the folder with it as `model.pte`.

    `threads` sets the thread pool of the whole process (None: unchanged). Raises UserError, in one line, for a file
    that is missing, cut short, changed since its SHA256SUMS was written, not ExecuTorch's, or not written by this tool.

    Attributes: labels (str, C); image_size (pixels); interpolation (Pillow's name of the resize filter); resize
    (see `mpox.data.working_picture`); input (its form, see `mpox.mobile.file.input_tensor`); positive (index of mpox,
    or None); rule (from probabilities to an answer); temperature (already applied to probabilities); facts (every
    constant method).
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.path = _found(Path(path).expanduser())
        _check_whole(self.path)
        runtime = binding()
        if threads is not None:
            with native_stderr_discarded():
                runtime._unsafe_reset_threadpool(threads)
        try:
            level = runtime.Verification.InternalConsistency
            self._program = runtime._load_program(str(self.path), program_verification=level)
            names = [self._program.get_method_name(k) for k in range(self._program.num_methods())]
            self._methods = {name: self._program.load_method(name) for name in names}
        except RuntimeError as error:
            raise UserError(f"{self.path} cannot be loaded ({reason_of(error)}): export the model again") from error
        constants = [name for name, method in self._methods.items() if method.method_meta().num_inputs() == 0]
        self.facts = checked_facts({name: _plain(self._methods[name]([])) for name in constants}, self.path)
        self.labels: tuple[str, ...] = tuple(self.facts["labels"])
        self.image_size: int = self.facts["image_size"]
        self.interpolation: str = self.facts["interpolation"]
        self.resize: str = resize_of(self.facts)
        self.input: str = self.facts.get("input", PLANES)  # files of earlier versions take planes
        self.temperature: float = self.facts["temperature"]
        self.positive: int | None = self.facts.get("positive")
        self.rule = rule_of(self.facts)

    @property
    def explains(self) -> bool:
        """Whether the file has the method `explain`."""
        return "explain" in self._methods

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C) float32 at the file's temperature.

        images: RGB, 0..255, uint8 or float32, (N, S, S, 3) or (N, 3, S, S), or one of them without N; S is
        `image_size` (crop and resize with `mpox.data.working_picture.square`). Raises UserError for anything else.
        """
        return softmax(self._calibrated(self._run("forward", images))).astype("float32")

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return logits (N, C) float32, before temperature and softmax. `images` as for `probabilities`."""
        return self._calibrated(self._run("forward", images)) * np.float32(self.temperature)

    def explain(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N, C) before the temperature, and a class activation map a class (N, C, h, w), raw and signed.

        Both float32. Values above zero are evidence for the class; `images` as for `probabilities`. Raises UserError
        where the file has no such method (its contract.json gives the reason).
        """
        if not self.explains:
            raise UserError(
                f"{self.path} has no maps (its contract.json gives the reason): python -m mpox.explain makes them"
            )
        logits, maps = self._run("explain", images)
        return logits if self.facts["format"] == 1 else logits * np.float32(self.temperature), maps

    def as_input(self, images: np.ndarray) -> np.ndarray:
        """Return `images` in the file's form; see `mpox.mobile.file.input_tensor.as_input`."""
        return as_input(images, self.image_size, self.input)

    def run_unchecked(self, tensors: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C) of tensors in the file's form, whose values are not checked."""
        return softmax(self._calibrated(self._execute("forward", tensors))).astype("float32")

    def _calibrated(self, outputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """The logits with the temperature in them; files of format 1 give probabilities first, then raw logits."""
        return outputs[0] if len(outputs) == 1 else outputs[1] / np.float32(self.temperature)

    def _run(self, method: str, images: np.ndarray) -> tuple[np.ndarray, ...]:
        return self._execute(method, self.as_input(images))

    def _execute(self, method: str, tensors: np.ndarray) -> tuple[np.ndarray, ...]:
        import torch  # the runtime's Python binding takes and returns its tensors

        call = self._methods[method]
        try:
            results = [call([torch.from_numpy(one[None])]) for one in tensors]
        except RuntimeError as error:
            raise UserError(f"{self.path} cannot be run ({reason_of(error)}): export the model again") from error
        return tuple(np.concatenate([output.numpy() for output in outputs]) for outputs in zip(*results, strict=True))


def binding() -> ModuleType:
    """Import ExecuTorch's binding directly: its public wrapper imports the whole exporter, which takes seconds."""
    import torch  # noqa: F401  loads the libraries the binding is linked against

    with native_stderr_discarded():
        from executorch.extension.pybindings import _C

        _C._threadpool_get_thread_count()  # the first call inspects the processor and prints the result

    return _C


def _found(path: Path) -> Path:
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"no exported model at {path}: give a folder that python -m mpox.export wrote, or a .pte file")
    return file


def _check_whole(path: Path) -> None:
    """Raise UserError for a file that would crash the runtime, or whose bytes have changed since its export."""
    with path.open("rb") as file:
        head = file.read(HEADER.size)
    if len(head) < HEADER.size or head[IDENTIFIER] != b"ET":
        raise UserError(f"{path} is not an ExecuTorch program: give a .pte file that python -m mpox.export wrote")
    if head[EXTENSION] == b"eh00":
        _, _, _, length, program, segments, data = HEADER.unpack(head)
        needed = max(program, segments + (data if length >= HEADER.size - 8 else 0))
        if (size := path.stat().st_size) < needed:
            raise UserError(f"{path} is cut short ({size} of {needed} bytes): copy or export it again")
    recorded = recorded_sums(path.parent).get(path.name)
    if recorded is not None and recorded != sha256_of(path):
        raise UserError(f"{path} is not the file its {SUMS_FILE} was written for: copy or export it again")


def _plain(values: list[Any]) -> Any:
    """The value of a constant method's output: a list of strings is returned as it is, one value as a list of one."""
    return values[0] if len(values) == 1 else list(values)
