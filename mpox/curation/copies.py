"""The search for copies of one picture among the photos of one set; what it finds shares a group."""

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mpox.curation.cached_table import kept_table
from mpox.curation.candidates import embeddings
from mpox.curation.descriptors import PhotoFeatures, open_features
from mpox.curation.duplicates import PAIRING_VERSION, find_pairs, unique_photos
from mpox.curation.findings import PAIR_COLUMNS
from mpox.curation.thresholds import PairThresholds
from mpox.data.audited import audit_state
from mpox.data.groups import merge_groups
from mpox.data.sources import PhotoSet

log = logging.getLogger(__name__)
# Features and, for the full search, embeddings of photos.
Described = tuple[PhotoFeatures, np.ndarray | None]
SEARCHES = ("auto", "none", "fast", "full")
# What each search finds, and what it does not look for.
SEARCHED: dict[str, tuple[str | None, str | None]] = {
    "none": (None, "copies of one picture"),
    "fast": ("exact and in-place copies", "other cuts of one picture"),
    "full": ("exact and in-place copies, other cuts of one picture", None),
}
# What a photo costs the full search on two cores (docs/measured/curation.md), and how long `auto` may take over it.
SECONDS_A_PHOTO, AUTO_SECONDS = 0.1, 120


def gather(photos: PhotoSet, cache: Path, search: str, *, asked: str, harm: str) -> tuple[PhotoSet, pd.DataFrame]:
    """Return the photo set with copies in one group, and the pairs found (as `find_pairs`).

    `search` is one of SEARCHES. The photos of one whole audit are taken as they are. What is searched for, or not, is
    logged, `asked` being the option that asked for it and `harm` what copies that are not found do, and stands in
    `copies` of the result.
    """
    nothing = pd.DataFrame(columns=list(PAIR_COLUMNS), dtype=str)
    whole, why = audit_state(photos.manifest)
    if whole:
        log.info("the manifest was audited by mpox.curate: its groups are used as they are")
        return photos, nothing
    if why:
        log.warning("the manifest was audited by mpox.curate, but %s: its groups are not taken for whole", why)
    search = _search_to_make(search, photos, asked, harm)
    found, not_sought = SEARCHED[search]
    copies = {"search": search, "searched": found, "not_searched": None if photos.drawn else not_sought}
    photos = replace(photos, copies=copies)
    if search == "none":
        return photos, nothing
    manifest = photos.manifest.copy()
    kept = manifest[manifest["keep"]].reset_index(drop=True)
    full = search == "full"
    pairs = cached_pairs(
        *(kept, cache, PairThresholds(), lambda: _described(kept, photos.root, cache, full=full)), full=full
    )
    manifest["group"] = merge_groups(manifest, pairs[["photo_id", "other"]].itertuples(index=False))
    merged = kept["group"].nunique() - manifest.loc[manifest["keep"], "group"].nunique()
    if merged:
        log.info("%d pairs of copies found: %d groups merged into others", len(pairs), merged)
    return replace(photos, manifest=manifest), pairs


def cached_pairs(
    kept: pd.DataFrame, cache: Path, limits: PairThresholds, described: Callable[[], Described], *, full: bool = True
) -> pd.DataFrame:
    """Return `find_pairs` of readable photos, kept in `cache`: what one of training and the audit found, both have.

    `described` gives features and embeddings of `unique_photos(kept)`, asked for where the pairs are not known.
    """
    named = kept[["photo_id", "sha256"]].to_numpy().tolist()
    return kept_table(
        *(cache, "pairs" if full else "pairs-fast", [PAIRING_VERSION, asdict(limits), named]),
        lambda: find_pairs(kept, *described(), limits),
    )


def _described(kept: pd.DataFrame, root: Path, cache: Path, *, full: bool) -> Described:
    unique = unique_photos(kept)
    features = open_features(unique, root, cache, sift=full)
    return features, embeddings(unique, root, cache, torch.device("cpu")) if full else None


def _search_to_make(search: str, photos: PhotoSet, asked: str, harm: str) -> str:
    """Return the search to make; what it does not search for is logged.

    `auto` goes by the number of photos alone, so that the same photos are grouped alike on every machine.
    """
    seconds = SECONDS_A_PHOTO * len(unique_photos(photos.manifest[photos.manifest["keep"]]))
    chosen = search
    if search == "auto":
        chosen = "full" if seconds <= AUTO_SECONDS and not photos.drawn else "fast"
    named = f"{asked} ({chosen})" if chosen != search else asked
    if chosen == "full":
        log.info("%s: copies and other cuts of one picture are searched for; about %.0f s", named, seconds)
    elif photos.drawn:
        log.info("%s: the pictures are generated, and none is a cut of another", named)
    else:
        more = f"; full would take about {seconds / 60:.0f} minutes" if search == "auto" else ""
        log.warning("%s: %s are not searched for and %s%s", named, SEARCHED[chosen][1], harm, more)
    return chosen
