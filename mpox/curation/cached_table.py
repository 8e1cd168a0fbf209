"""Tables that are computed once: kept as parquet under a hash of everything they depend on."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from mpox.cached import kept


def kept_table(cache: Path, name: str, depends_on: list[Any], make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return `make()`, or what it returned for the same `depends_on` (JSON-able) before; kept in `cache`."""
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    path = cache / f"{name}-{key}.parquet"
    return kept(path, make, lambda table, place: table.to_parquet(place, index=False), pd.read_parquet)
