"""A GPU without one: tensors that lie "elsewhere", as strict as CUDA's about mixing devices, and what they cost.

PyTorch's "meta" device is borrowed for it, since every build has it: a `Far` tensor says it is on meta, so devices are
found and passed on as they would be, and carries its values in a tensor of the CPU, so that results can be compared.
An operator given tensors of both places fails as on a GPU. Not shown: kernels, memory and speed of a real one.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
aten = torch.ops.aten
# Copies, and what a GPU takes the processor's indices for.
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
MAY_MIX = (aten._to_copy.default, aten.copy_.default, *INDEXING)
# The size of what comes out depends on values, which the processor must wait for.
WAITS = (aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default, aten._unique2.default)
MAKES_FROM_VALUES = (torch.tensor, torch.as_tensor, torch.asarray)


class Far(Tensor):
    """A tensor of the simulated device; `near` holds its values."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> "Far":
        facts = {"strides": near.stride(), "storage_offset": near.storage_offset(), "dtype": near.dtype}
        return Tensor._make_wrapper_subclass(cls, near.size(), device=DEVICE, **facts)

    def __init__(self, near: Tensor) -> None:
        self.near = near

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.near.__reduce_ex__(protocol)  # a checkpoint holds plain tensors

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {}, Counter())


class _Operators(TorchDispatchMode):
    def __init__(self, traffic: Counter[str]) -> None:
        super().__init__()
        self.traffic = traffic

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {}, self.traffic)


class _Values(TorchFunctionMode):
    """Tensors made of numbers keep them: PyTorch would drop them on its way to meta."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is Tensor.new_tensor and isinstance(args[0], Far):
            function, args, kwargs = torch.tensor, args[1:], {"dtype": args[0].dtype, "device": DEVICE} | kwargs
        if function in MAKES_FROM_VALUES and _is_far(kwargs.get("device")):
            return function(*args, **kwargs | {"device": "cpu"}).to(DEVICE)
        return function(*args, **kwargs)


@contextmanager
def simulated_gpu() -> Iterator[Counter[str]]:
    """Within, `torch.device("meta")` computes. Yields how often data went `to` it, `from` it, or was `waited` for."""
    traffic: Counter[str] = Counter()
    with _Values(), _Operators(traffic):
        yield traffic


def _is_far(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _run(function: Callable[..., Any], args: Any, kwargs: dict[str, Any], traffic: Counter[str]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    far = [tensor for tensor in tensors if isinstance(tensor, Far)]
    wanted = kwargs.get("device")
    if not far and not _is_far(wanted):
        return function(*args, **kwargs)
    near_args, near_kwargs = tree_map(lambda leaf: leaf.near if isinstance(leaf, Far) else leaf, (args, kwargs))
    if wanted is not None:
        near_kwargs["device"] = torch.device("cpu")
    if function not in MAY_MIX and any(not isinstance(tensor, Far) and tensor.ndim for tensor in tensors):
        places = [(str(tensor.device), tuple(tensor.shape)) for tensor in tensors]
        raise RuntimeError(f"expected all tensors on the same device, {function} got {places}")
    out = function(*near_args, **near_kwargs)
    if function is aten._to_copy.default:
        goes_far = _is_far(wanted) if wanted is not None else True
        traffic["to" if not far else "from" if not goes_far else "within"] += 1
        return Far(out) if goes_far else out
    if function is aten.copy_.default:
        traffic["within" if len(far) == 2 else "to" if isinstance(args[0], Far) else "from"] += 1
        return args[0]
    traffic["waited"] += function in WAITS
    given = {id(tensor.near): tensor for tensor in far}  # what is changed in place comes back as it came

    def outward(leaf: Any) -> Any:
        return given[id(leaf)] if id(leaf) in given else Far(leaf) if isinstance(leaf, Tensor) else leaf

    return tree_map(outward, out)
