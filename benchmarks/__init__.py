"""Measures of the framework itself, beside the package."""

import mpox  # noqa: F401 - makes torchvision importable beside a CPU build of PyTorch, before anything here imports it
