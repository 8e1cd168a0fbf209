"""Groups: photos that must never be split between folds, because one gives away the answer to the other."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def merge_groups(manifest: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> pd.Series:
    """Return the manifest's `group` column with the groups that `pairs` of photo ids connect made one (str).

    Connected components: what shares a group stays together (same subject), and what is paired joins it. A merged
    group has the name of its first; others keep theirs. Pairs of photos the manifest lacks are a KeyError.
    """
    codes, names = pd.factorize(manifest["group"], sort=True)
    code_of = pd.Series(codes, index=manifest["photo_id"])
    linked = np.array([(code_of[one], code_of[other]) for one, other in pairs], dtype=int).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(linked), bool), (linked[:, 0], linked[:, 1])), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    # Names are sorted, so the first of a component is its smallest.
    _, first = np.unique(component, return_index=True)
    merged = np.asarray(names)[first][component[codes]]
    return pd.Series(merged, index=manifest.index, name="group").astype(manifest["group"].dtype)
