"""Make `import torchvision` work beside a PyTorch build it was not linked for.

PyPI's torchvision wheel is linked against CUDA. Beside a CPU-only PyTorch its C++ extension cannot load, so the
operators `nms` and `qnms` have no schema, and importing torchvision (hence timm and grad-cam) fails with "operator
torchvision::nms does not exist". Declaring the two schemas is enough for transforms, datasets, timm and grad-cam;
`torchvision.ops.nms` and `torchvision.io` stay unusable, and this project uses neither.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

# Kept for the life of the process: the schemas vanish when the library object is collected.
_library: Any = None


def patch_on_import() -> None:
    """Arrange for torchvision to be patched when it is first imported, so that importing mpox alone stays fast."""
    if "torchvision" not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "torchvision":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Load torchvision by its own loader; where it lacks its operators, declare them and load it once more.

    Any failure other than the missing operator is raised unchanged.
    """

    def __init__(self, own: importlib.abc.Loader) -> None:
        self.own = own

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self.own  # its data files are asked of its own loader
        try:
            self.own.exec_module(module)
            return
        except RuntimeError as error:
            if "torchvision::nms" not in str(error):
                raise
        for name in [name for name in sys.modules if name.startswith("torchvision.")]:
            del sys.modules[name]
        _declare_operators()
        self.own.exec_module(module)


def _declare_operators() -> None:
    global _library
    import torch

    _library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        _library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
