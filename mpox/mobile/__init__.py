"""Phones: a trained network into a file that is proven to agree with it."""

import logging

# On import torchao warns of each CUDA extension that cannot be loaded, and torch of how torchao registers enums.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
