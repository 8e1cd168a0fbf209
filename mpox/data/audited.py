"""The mark that an audit leaves on each photo it looked at, and whether the groups of a manifest are still those.

The column `audited` holds `<key> <number> <label>`: the audit's key, the number of the photo's group in that audit, and
the photo's label. It is empty where the photo was not looked at. Earlier versions wrote `1` for all of this, of which
nothing can be checked. A manifest made from an audited one keeps the column.
"""

import hashlib

import pandas as pd

from mpox.data.manifest import as_text

AUDITED = "audited"


def photos_key(manifest: pd.DataFrame) -> str:
    """Return 16 hex digits that name the photos (ids and contents): the same photos have the same key."""
    named = "\n".join(sorted(manifest["photo_id"] + " " + manifest["sha256"]))
    return hashlib.sha256(named.encode()).hexdigest()[:16]


def marks(manifest: pd.DataFrame) -> pd.Series:
    """Return the column `audited` (str) of a manifest that was just audited; empty for photos that are not kept.

    Groups are numbered in the order of the contents' hashes: the column is published, and names may name people.
    """
    kept = manifest[manifest["keep"]].sort_values(["sha256", "photo_id"])
    numbers = pd.Series(pd.factorize(kept["group"])[0], index=kept.index).astype(str)
    found = photos_key(manifest) + " " + numbers + " " + kept["label"]
    return found.reindex(manifest.index, fill_value="").astype(str)


def with_labels(old: pd.Series, labels: pd.Series) -> pd.Series:
    """Return marks (str, N) with the labels (str, N) that decisions gave; those of earlier versions stay."""
    parts = _parts(old)
    return (parts["audit"] + " " + labels).where(parts["audit"] != "", as_text(old))


def audit_groups(manifest: pd.DataFrame) -> pd.Series:
    """Return each photo's group in its audit (str, N) as a name that no other audit has; empty where it is unknown."""
    if AUDITED not in manifest:
        return pd.Series("", index=manifest.index)
    return _parts(manifest[AUDITED])["audit"]


def audit_state(manifest: pd.DataFrame) -> tuple[bool, str]:
    """Return whether the kept photos went through one audit and are as it left them, and if not, why; empty: no audit.

    Groups may have been merged since, but none parted: copies that the audit found are still together.
    """
    if AUDITED not in manifest:
        return False, ""
    kept = manifest[manifest["keep"]]
    values = as_text(kept[AUDITED])
    if lacking := int((values == "").sum()):
        return False, f"{lacking} of its {len(kept)} photos were not" if lacking < len(kept) else ""
    parts = _parts(values)
    # The key alone, without the number of the group; of an earlier version, all there is.
    audits = values.str.partition(" ")[0].nunique()
    if audits > 1:
        return False, f"its photos come from {audits} audits"
    known = parts["audit"] != ""
    if (kept.loc[known, "group"].groupby(parts.loc[known, "audit"]).nunique() > 1).any():
        return False, "groups were parted since"
    if changed := int((parts["label"] != kept["label"])[known].sum()):
        return False, f"{changed} labels were changed since"
    return True, ""


def _parts(values: pd.Series) -> pd.DataFrame:
    """Return `audit` (key and group's number) and `label` of each mark; empty for one of an earlier version."""
    found = as_text(values).str.extract(r"^([0-9a-f]{16} \d+) (.*)$").fillna("")
    return found.set_axis(["audit", "label"], axis=1)
