"""Phones: a trained network exported to a file that is verified against it."""

import logging

# On import torchao warns about each CUDA extension that it cannot load, and torch about how torchao registers enums.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
