"""Measures of the framework itself, run from a checkout: `python -m benchmarks`. No part of the installed package.

Beside it, a script each: `python -m benchmarks.<name>` of baseline, audit_growth, export_matrix, map_times,
demo_picture; handover, probe_tries, finetune_tries and small_sets measure the recipe on real photos.
"""

import mpox  # noqa: F401 - makes torchvision importable beside a CPU build of PyTorch, before anything here imports it
