"""Measures of the framework itself, run from a checkout: `python -m benchmarks`. No part of the installed package.

Beside it, a script each: `python -m benchmarks.<name>` of baseline, audit_growth, export_matrix, map_times and
demo_picture.
"""

import mpox  # noqa: F401 - makes torchvision importable beside a CPU build of PyTorch, before anything here imports it
