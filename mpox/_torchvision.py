"""Make `import torchvision` work beside a PyTorch build it was not linked for.

PyPI's torchvision wheel is linked against CUDA. Beside a CPU-only PyTorch its C++ extension cannot load, so the
operators `nms` and `qnms` have no schema, and importing torchvision (hence timm and grad-cam) fails with "operator
torchvision::nms does not exist". Declaring the two schemas is enough for transforms, datasets, timm and grad-cam;
`torchvision.ops.nms` and `torchvision.io` stay unusable, and this project uses neither.
"""

import importlib
import sys

import torch

# Kept for the life of the process: the schemas vanish when the library object is collected.
_library: torch.library.Library | None = None


def mend() -> None:
    """Import torchvision; declare its detection operators first where its extension cannot load.

    Does nothing where torchvision imports as it is. Any failure other than the missing operator is raised unchanged.
    """
    global _library
    try:
        importlib.import_module("torchvision")
        return
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        _library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    importlib.import_module("torchvision")
