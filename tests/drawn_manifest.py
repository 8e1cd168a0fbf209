"""Manifests without files, for what looks at labels and groups alone."""

import pandas as pd

from mpox.data.manifest import complete


def drawn_manifest(per_class: dict[str, list[int]]) -> pd.DataFrame:
    """A manifest with, for each class, subjects of the given numbers of photos."""
    rows = [
        {"path": f"{label}/{s:02d}_{k:02d}.jpg", "label": label, "subject": f"{label}{s}"}
        for label, sizes in per_class.items()
        for s, size in enumerate(sizes)
        for k in range(size)
    ]
    return complete(pd.DataFrame(rows), "made")
