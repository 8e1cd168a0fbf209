"""Int8 networks by PT2E: operators quantized together, ranges from training photos, layers that stay in float."""

import copy
import itertools
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    get_symmetric_quantization_config,
)
from timm.models import group_parameters
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.nn import functional as F
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.utils import _fuse_conv_bn_

from mpox.errors import UserError
from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.file.tracing import without_stack_traces
from mpox.mobile.int8.pooling import WINDOW, convolve_pools
from mpox.mobile.int8.quantizer import AVERAGES, PhoneQuantizer, static_config
from mpox.mobile.int8.ranges import Mode, WeightRange, observers, set_mode
from mpox.mobile.int8.rounding import LAYERS, round_layers
from mpox.mobile.int8.scaling import scale_channels

# Photos that are run at once; and photos on which weights are rounded and biases corrected, all at once.
BATCH, ROUNDED = 8, 32
# The last linear layer and the map's: small, and they give the outputs; both stay in float.
HEAD = "head"


class Calibrated:
    """A network whose int8 ranges are known, before it is converted.

    `network` is float, `images_NCHW` (float32, 0..255) are *training* photos; `float_units` (see `units_of`) stay in
    float. With `round_weights` the weights are rounded to their int8 steps together. Without, they keep their values,
    to measure `sensitivities`, and each is simulated as rounded to the nearest. `weight_bits` 7 leaves the sum of two
    products with 8-bit activations within 16 bits. Raises UserError for fewer than two photos.
    """

    def __init__(
        self,
        network: PhoneNetwork,
        images_NCHW: Tensor,
        float_units: Collection[str] = (),
        *,
        round_weights: bool = True,
        weight_bits: int = 8,
    ) -> None:
        if len(images_NCHW) < 2:
            raise UserError(f"calibration.photos={len(images_NCHW)} is too few to choose a range: give 16 or more")
        self.network, self.float_units = network, frozenset(float_units)
        self.units = units_of(network)
        graph = _exported(network, images_NCHW)
        in_float = _in_float(graph, self.units, self.float_units)
        scale_channels(graph, lambda: map(network.normalise, images_NCHW.split(BATCH)), in_float)
        self.prepared = prepare_pt2e(graph, PhoneQuantizer(static_config(weight_bits), in_float))
        set_mode(self.prepared, Mode.WATCH)
        with torch.no_grad():
            for images in images_NCHW.split(BATCH):
                self.prepared(network.normalise(images))
        for observer in observers(self.prepared).values():
            observer.freeze()
        self._exact = [getattr(owner, name).detach().clone() for owner, name, _ in _weight_places(self.prepared)]
        round_layers(self.prepared, network.normalise(images_NCHW[:ROUNDED]), weights=round_weights)

    @torch.no_grad()
    def logits(self, images_NCHW: Tensor) -> Tensor:
        """Return logits_NC of the int8 network, simulated in float."""
        set_mode(self.prepared, Mode.ROUND)
        return torch.cat([self._run(images)[0] for images in images_NCHW.split(BATCH)])

    @torch.no_grad()
    def sensitivities(self, images_NCHW: Tensor) -> dict[str, float]:
        """Return, for each unit, the mean squared change of the logits when only this unit is in int8; largest first.

        The weights must not be rounded yet (`round_weights=False`).
        """
        of_unit: dict[str, list[Any]] = {}
        for name, unit in _observer_units(self.prepared, self.units).items():
            of_unit.setdefault(unit, []).append(self.prepared.get_submodule(name))
        set_mode(self.prepared, Mode.PASS)
        exact = self._run(images_NCHW)[0]
        changes = {}
        for unit, members in of_unit.items():
            set_mode(self.prepared, Mode.PASS)
            for observer in members:
                observer.mode = Mode.ROUND
            changes[unit] = float((self._run(images_NCHW)[0] - exact).square().mean())
        return dict(sorted(changes.items(), key=lambda item: -item[1]))

    def tune(self, images_NCHW: Callable[[int], Tensor], steps: int, rate: float) -> None:
        """Fine-tune the weights for int8: `steps` batches (of step k: `images_NCHW(k)`), AdamW at `rate`, cosine.

        The network learns to give, in simulated int8, the probabilities that it gives in float (distillation). It
        starts from the weights as they are rounded, which stay what they are where no gradient moves them. Ranges of
        activations and steps of weights stay. Normalisation layers are already folded into the weights.
        """
        weights = []
        for (owner, name, observer), exact in zip(list(_weight_places(self.prepared)), self._exact, strict=True):
            value = getattr(owner, name).detach().clone()
            weights.append(nn.Parameter(observer.begin_tuning(value, exact) if observer else value))
            setattr(owner, name, weights[-1])
        optimizer = torch.optim.AdamW(weights, rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        set_mode(self.prepared, Mode.ROUND)
        for step in range(steps):
            images = images_NCHW(step)
            with torch.no_grad():
                target = self.network(images)[0].log_softmax(1)
            loss = F.kl_div(self._run(images)[0].log_softmax(1), target, log_target=True, reduction="batchmean")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        for weight in weights:
            weight.requires_grad_(False)

    def converted(self) -> PhoneNetwork:
        """Return the network with its layers in int8, ready to be lowered."""
        set_mode(self.prepared, Mode.PASS)
        return self.network.with_body(convert_pt2e(copy.deepcopy(self.prepared)))

    def _run(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.prepared(self.network.normalise(images))


def quantize_dynamic(network: PhoneNetwork) -> PhoneNetwork:
    """Return the network with int8 weights a channel, and int8 inputs whose range is set by each photo.

    Depthwise convolutions stay in float: XNNPACK has no dynamic kernel for them.
    """
    example = torch.zeros(2, 3, network.image_size, network.image_size)
    graph = _exported(network, example)
    in_float = _in_float(graph, units_of(network), frozenset())
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    prepared = prepare_pt2e(graph, PhoneQuantizer(config, in_float))
    with torch.no_grad():
        prepared(network.normalise(example))
    return network.with_body(convert_pt2e(prepared))


def units_of(network: PhoneNetwork) -> dict[str, str]:
    """Name of the unit of each module with parameters: a block or another group of timm's; or the head.

    Keys are paths of modules below the network's body.
    """
    backbone = network.backbone
    order = group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True)
    modules: dict[int, list[str]] = {}
    for parameter, group in order.items():
        modules.setdefault(group, []).append(parameter.rpartition(".")[0])
    head = {name for name, module in backbone.named_modules() if module is backbone.get_classifier()}
    units = {}
    for paths in modules.values():
        name = os.path.commonpath([path.replace(".", "/") for path in paths]).replace("/", ".") or paths[0]
        for path in paths:
            units[f"backbone.{path}"] = HEAD if path in head else name
    return units | {"projection": HEAD, "head": HEAD}


def _exported(network: PhoneNetwork, images: Tensor) -> GraphModule:
    """Trace the network after its normalisation (which stays in float) for any number of photos at once."""
    example = network.normalise(images[:2])
    batch = torch.export.Dim("batch", min=1, max=1024)
    shapes = {"normalised": {0: batch}}
    body = copy.deepcopy(network.body)  # the traced graph would share its tensors, and biases are corrected in place
    with without_stack_traces():
        graph: GraphModule = torch.export.export(body, (example,), dynamic_shapes=shapes).module()
    convolve_pools(graph)
    _fuse_conv_bn_(graph)
    return graph


def _in_float(graph: GraphModule, units: Mapping[str, str], float_units: Collection[str]) -> Callable[[Node], bool]:
    kept = {HEAD, *float_units}
    nodes = list(graph.graph.nodes)
    names = {node.name for node in nodes if _unit(node, units) in kept}
    # In int8 the averages that go into the head would be rounded once more, without a gain.
    names |= {node.name for node in nodes if node.target in AVERAGES and _leads_to_head(node, units)}
    return lambda node: node.name in names


def _leads_to_head(node: Node, units: Mapping[str, str]) -> bool:
    """Whether a node's output goes into the head alone, through no other layer with weights."""
    return bool(node.users) and all(
        _unit(user, units) == HEAD if user.target in LAYERS else _leads_to_head(user, units) for user in node.users
    )


def _unit(node: Node, units: Mapping[str, str]) -> str | None:
    """The unit of an operator by the module it was traced from; None where it is in no unit.

    A module without parameters belongs to the unit of its neighbours, where they share one.
    """
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = stack[-1][0] if stack else ""
    path = path.removeprefix("L['self'].")
    for name in itertools.accumulate(path.split("."), "{}.{}".format):
        if name in units:
            return units[name]
    below = _units_below(path, units)
    if below:
        return below[0]
    neighbours = set(_units_below(path.rpartition(".")[0], units))
    return neighbours.pop() if len(neighbours) == 1 else None


def _units_below(path: str, units: Mapping[str, str]) -> list[str]:
    """Units of the modules below a path; none for the path of the whole network."""
    return [unit for name, unit in units.items() if path not in ("", "backbone") and name.startswith(f"{path}.")]


def _observer_units(prepared: GraphModule, units: Mapping[str, str]) -> dict[str, str]:
    """Unit of each observer: that of the operator it follows; for weights, that of their layer."""
    found: dict[str, str] = {}
    known = observers(prepared)
    for node in prepared.graph.nodes:
        if node.op != "call_module" or node.target not in known:
            continue
        source = node.args[0] if node.args[0].op == "call_function" else next(iter(node.users))
        unit = _unit(source, units)
        found.setdefault(str(node.target), unit or "between units")
    return found


def _weight_places(prepared: GraphModule) -> Iterator[tuple[nn.Module, str, WeightRange | None]]:
    """Owner, attribute and observer of each weight and bias of the prepared network's layers, once.

    The fixed weights of pools are left out.
    """
    seen = set()
    for node in prepared.graph.nodes:
        if node.target not in LAYERS:
            continue
        for argument in node.args[1:3]:
            observer = None
            while isinstance(argument, Node) and argument.op == "call_module":
                module = prepared.get_submodule(str(argument.target))
                observer = module if isinstance(module, WeightRange) else None
                argument = argument.args[0]
            if not isinstance(argument, Node) or argument.op != "get_attr" or str(argument.target).endswith(WINDOW):
                continue
            if argument.target not in seen:
                seen.add(argument.target)
                owner, _, name = str(argument.target).rpartition(".")
                yield prepared.get_submodule(owner), name, observer
