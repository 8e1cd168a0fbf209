"""From a network to a file: torch.export, one of ExecuTorch's backends, and the constants of the file."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from torch import nn

from mpox.errors import UserError
from mpox.files import replacing
from mpox.mobile.file.contract import RUNNABLE
from mpox.mobile.file.input_tensor import PIXELS, PLANES, input_shape
from mpox.mobile.file.network import ExplainMethod, ForwardMethod, FromPixels
from mpox.mobile.file.tracing import without_stack_traces


def lower(
    network: nn.Module,
    path: Path,
    *,
    image_size: int,
    temperature: float,
    maps: bool,
    constants: Mapping[str, Any],
    form: str = PLANES,
    backend: str = RUNNABLE,
    half: bool = False,
    dynamic: bool = False,
) -> None:
    """Write `network` (images_NCHW float32 0..255 to (logits_NC,) or (logits_NC, maps_NChw)) to `path` as a `.pte`.

    Methods: `forward` (logits_NC at `temperature`), with `maps` also `explain` (the same, maps_NChw), both for one
    image in `form` (see `input_tensor.py`), and one method without arguments for each of `constants`. With `half`
    weights and arithmetic are 16-bit; with `dynamic` the network has layers whose ranges are set by each photo. Raises
    UserError for a backend that is unknown or cannot do that, or a network it cannot take.
    """
    with _quiet():
        partitioners = _partitioners(backend, half, dynamic)
    dtype = torch.uint8 if form == PIXELS else torch.float32
    example = (torch.zeros(input_shape(form, image_size), dtype=dtype),)
    network = FromPixels(network) if form == PIXELS else network
    methods: dict[str, nn.Module] = {"forward": ForwardMethod(network, temperature)}
    if maps:
        methods["explain"] = ExplainMethod(network, temperature)
    try:
        with torch.no_grad(), _quiet(), without_stack_traces():
            exported = {name: torch.export.export(module, example) for name, module in methods.items()}
            edge = to_edge_transform_and_lower(
                exported,
                partitioner={name: partitioners() for name in exported},
                constant_methods=dict(constants),
                compile_config=EdgeCompileConfig(_check_ir_validity=False),
            )
            program = edge.to_executorch()
    except Exception as error:  # compilers raise exceptions of many types
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{backend} cannot take this network ({type(error).__name__}: {reason})") from error
    with replacing(path) as temporary, temporary.open("wb") as file:
        program.write_to_file(file)


def _partitioners(backend: str, half: bool, dynamic: bool) -> Callable[[], list[Any]]:
    """Return a factory of the backend's partitioners; imported here since each imports its own compiler."""
    if backend == "xnnpack":
        if half:
            raise UserError("recipe=fp16 needs backend=coreml or vulkan: XNNPACK keeps float weights in 32 bits")
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
            XnnpackDynamicallyQuantizedPartitioner,
            XnnpackPartitioner,
        )

        # Layers of dynamic ranges first, each a graph of its own: XNNPACK cannot run them within a larger one.
        first = [XnnpackDynamicallyQuantizedPartitioner] if dynamic else []
        return lambda: [*(partitioner() for partitioner in first), XnnpackPartitioner(configs=_xnnpack_configs())]
    if backend == "vulkan":
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return lambda: [VulkanPartitioner({"force_fp16": half})]
    if backend == "coreml":
        import coremltools
        from executorch.backends.apple.coreml.compiler import CoreMLBackend
        from executorch.backends.apple.coreml.partition import CoreMLPartitioner

        precision = coremltools.precision.FLOAT16 if half else coremltools.precision.FLOAT32
        specs = CoreMLBackend.generate_compile_specs(compute_precision=precision)
        return lambda: [CoreMLPartitioner(compile_specs=specs)]
    raise UserError(f"backend={backend} is unknown: choose xnnpack, coreml or vulkan")


def _xnnpack_configs() -> list[Any]:
    """XNNPACK's operators, with pads in int8 among them: its runtime has them, its partitioner leaves them out."""
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
    from executorch.backends.xnnpack.partition.config.generic_node_configs import ConstantPadConfig
    from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType

    class AnyPad(ConstantPadConfig):
        def supported_precision_types(self) -> list[ConfigPrecisionType]:
            return [ConfigPrecisionType.FP32, ConfigPrecisionType.STATIC_QUANT]

    return [AnyPad if one is ConstantPadConfig else one for one in ALL_PARTITIONER_CONFIGS]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discard the compilers' usual messages and warnings; their errors are raised."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        discarded = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(discarded), contextlib.redirect_stderr(discarded):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
