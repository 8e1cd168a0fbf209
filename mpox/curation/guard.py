"""The guard before training: no copy of a photo in another fold, no picture under two labels unless it is allowed."""

import logging
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mpox.curation.copies import SEARCHES, gather
from mpox.curation.duplicates import between_copies
from mpox.data.sources import PhotoSet
from mpox.errors import UserError

log = logging.getLogger(__name__)
CONFLICTS = ("stop", "drop", "keep")
# How many pairs one message names; the count is always whole.
NAMED = 5


def guard(photos: PhotoSet, cache: Path, *, search: str = "auto", conflicts: str = "stop") -> PhotoSet:
    """Return the photo set with copies of one picture in one group, so that no split can part them.

    `search`: `fast` finds exact and in-place copies (seconds), `full` other cuts of one picture as well, as the audit
    does (minutes), `none` no copies at all, `auto` takes full where that is a matter of two minutes, else fast. Which
    it was, and what was not searched for, is logged and stands in the result's `copies`. The photos of one whole audit
    are taken as they are (`mpox.data.audited`). `conflicts` is what happens to copies under different labels: `stop`
    raises UserError naming them, `drop` leaves all of them out, `keep` trains on them; the last two log a warning. What
    is computed is kept in `cache`.
    """
    if search not in SEARCHES:
        raise UserError(f"data_guard.search={search} is unknown: choose one of {', '.join(SEARCHES)}")
    if conflicts not in CONFLICTS:
        raise UserError(f"data_guard.conflicts={conflicts} is unknown: choose one of {', '.join(CONFLICTS)}")
    harm = "may be in training and test, which makes figures too good"
    photos, pairs = gather(photos, cache, search, asked=f"data_guard.search={search}", harm=harm)
    return photos if pairs.empty else replace(photos, manifest=_settle(photos.manifest.copy(), pairs, conflicts))


def _settle(manifest: pd.DataFrame, pairs: pd.DataFrame, conflicts: str) -> pd.DataFrame:
    """Return the manifest with pairs of different labels handled as `conflicts` says."""
    label = manifest.set_index("photo_id")["label"]
    kept = manifest[manifest["keep"]]
    every = pd.DataFrame(between_copies(pairs, kept), columns=["photo_id", "other"], dtype=str)
    at_odds = every[every["photo_id"].map(label) != every["other"].map(label)]
    if at_odds.empty:
        return manifest
    shown = "; ".join(
        f"{one} ({label[one]}) and {other} ({label[other]})"
        for one, other in at_odds[["photo_id", "other"]].head(NAMED).itertuples(index=False)
    )
    more = f" (and {len(at_odds) - NAMED} more)" if len(at_odds) > NAMED else ""
    if conflicts == "stop":
        raise UserError(
            f"{len(at_odds)} pairs of photos show one picture under two labels: {shown}{more}. Decide them with "
            "python -m mpox.curate, or give data_guard.conflicts=drop (leave them out) or keep"
        )
    if conflicts == "keep":
        log.warning("%d pairs of one picture under two labels are kept: %s%s", len(at_odds), shown, more)
        return manifest
    other_of = pd.concat([at_odds.set_index("photo_id")["other"], at_odds.set_index("other")["photo_id"]])
    other_of = other_of[~other_of.index.duplicated()]
    log.warning("%d photos are left out, the same picture has another label: %s%s", len(other_of), shown, more)
    dropped = manifest["photo_id"].isin(other_of.index)
    manifest.loc[dropped, "keep"] = False
    manifest.loc[dropped, "reason"] = "the same picture has another label"
    manifest.loc[dropped, "reason_kind"] = "label_conflict"
    manifest.loc[dropped, "reason_other"] = manifest.loc[dropped, "photo_id"].map(other_of)
    return manifest
