"""The guard before training: no copy of a photo in another fold, no picture under two labels unless it is allowed."""

import logging
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from mpox.curation.candidates import embeddings
from mpox.curation.descriptors import open_features
from mpox.curation.duplicates import between_copies, find_pairs, unique_photos
from mpox.curation.findings import AUDITED
from mpox.curation.thresholds import PairThresholds
from mpox.data.groups import merge_groups
from mpox.data.manifest import as_text
from mpox.data.sources import PhotoSet
from mpox.errors import UserError

log = logging.getLogger(__name__)
SEARCHES = ("auto", "none", "fast", "full")
# What each search finds, and what it does not look for.
SEARCHED: dict[str, tuple[str | None, str | None]] = {
    "none": (None, "copies of one picture"),
    "fast": ("exact and in-place copies", "other cuts of one picture"),
    "full": ("exact and in-place copies, other cuts of one picture", None),
}
# What a photo costs the full search on two cores (docs/measured/curation.md), and how long `auto` may take over it.
SECONDS_A_PHOTO, AUTO_SECONDS = 0.1, 120
CONFLICTS = ("stop", "drop", "keep")
# How many pairs one message names; the count is always whole.
NAMED = 5


def guard(photos: PhotoSet, cache: Path, *, search: str = "auto", conflicts: str = "stop") -> PhotoSet:
    """Return the photo set with copies of one picture in one group, so that no split can part them.

    `search`: `fast` finds exact and in-place copies (seconds), `full` other cuts of one picture as well, as the audit
    does (minutes), `none` no copies at all, `auto` takes full where that is a matter of two minutes, else fast. Which
    it was, and what was not searched for, is logged and stands in the result's `copies`. An audited manifest is taken
    as it is. `conflicts` is what happens to copies under different labels: `stop` raises UserError naming them, `drop`
    leaves all of them out, `keep` trains on them; the last two log a warning. What is computed is kept in `cache`.
    """
    if search not in SEARCHES:
        raise UserError(f"data_guard.search={search} is unknown: choose one of {', '.join(SEARCHES)}")
    if conflicts not in CONFLICTS:
        raise UserError(f"data_guard.conflicts={conflicts} is unknown: choose one of {', '.join(CONFLICTS)}")
    if is_audited(photos.manifest):
        log.info("the manifest was audited by mpox.curate: its groups are used as they are")
        return photos
    search = _search_to_make(search, photos)
    found, not_sought = SEARCHED[search]
    photos = replace(
        photos, copies={"search": search, "searched": found, "not_searched": None if photos.drawn else not_sought}
    )
    if search == "none":
        return photos
    manifest = photos.manifest.copy()
    kept = manifest[manifest["keep"]].reset_index(drop=True)
    unique, full = unique_photos(kept), search == "full"
    features = open_features(unique, photos.root, cache, sift=full)
    embedded = embeddings(unique, photos.root, cache, torch.device("cpu")) if full else None
    pairs = find_pairs(kept, features, embedded, PairThresholds())
    manifest["group"] = merge_groups(manifest, pairs[["photo_id", "other"]].itertuples(index=False))
    merged = kept["group"].nunique() - manifest.loc[manifest["keep"], "group"].nunique()
    if merged:
        log.info("%d pairs of copies found: %d groups merged into others", len(pairs), merged)
    return replace(photos, manifest=_settle(manifest, pairs, conflicts))


def _search_to_make(search: str, photos: PhotoSet) -> str:
    """Return the search to make; what it does not search for is logged.

    `auto` goes by the number of photos alone, so that the same photos are grouped alike on every machine.
    """
    seconds = SECONDS_A_PHOTO * len(unique_photos(photos.manifest[photos.manifest["keep"]]))
    chosen = search
    if search == "auto":
        chosen = "full" if seconds <= AUTO_SECONDS and not photos.drawn else "fast"
    named = f"data_guard.search={search}{f' ({chosen})' if chosen != search else ''}"
    if chosen == "full":
        log.info("%s: copies and other cuts of one picture are searched for; about %.0f s", named, seconds)
    elif photos.drawn:
        log.info("%s: the pictures are generated, and none is a cut of another", named)
    else:
        more = f"; full would take about {seconds / 60:.0f} minutes" if search == "auto" else ""
        log.warning(
            "%s: %s are not searched for and may be in training and test, which makes figures too good%s",
            *(named, SEARCHED[chosen][1], more),
        )
    return chosen


def is_audited(manifest: pd.DataFrame) -> bool:
    """Return whether every photo went through `mpox.curation.audit`."""
    return AUDITED in manifest and bool((as_text(manifest[AUDITED]) != "").all())


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
