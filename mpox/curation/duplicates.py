"""Pairs of photos that show the same picture: exact copies, copies in place, and other cuts of one source.

Each pair rests on two signals: equal bytes, or a hash and the correlation of the pixels in place, or local features
that agree on one map and the correlation of the pixels under it.
"""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd

from mpox.curation import fingerprints
from mpox.curation.candidates import candidate_pairs
from mpox.curation.descriptors import PhotoFeatures
from mpox.curation.findings import PAIR_COLUMNS
from mpox.curation.local_features import Match, Side, compare, root_sift
from mpox.curation.thresholds import PairThresholds
from mpox.progress import watched

# Part of every key: raise it when other pairs come out.
PAIRING_VERSION = 3
# Photos kept unpacked for comparing: pairs come sorted, so each is unpacked few times.
UNPACKED = 512
# Partners a photo is compared with in the second round at most: keeps a source cut a hundred times from costing 5,000.
FRIENDS = 32
TURNS = (
    *("in place", "turned by 90°", "turned by 180°", "turned by 270°"),
    *("mirrored", "mirrored and turned by 90°", "mirrored and turned by 180°", "mirrored and turned by 270°"),
)


def exact_pairs(manifest: pd.DataFrame) -> list[tuple[int, int]]:
    """Return (first row, other row) of photos with the same bytes."""
    groups = manifest.groupby("sha256").indices.values()
    return [(int(rows[0]), int(row)) for rows in groups for row in rows[1:]]


def between_copies(pairs: pd.DataFrame, manifest: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the pairs (photo_id, other) of every photo: copies of equal bytes have the partners of the one compared.

    `pairs` hold the first of them only. Without those of which one is not in the manifest.
    """
    sha256 = manifest.set_index("photo_id")["sha256"]
    members = manifest.groupby("sha256")["photo_id"].apply(list)
    known = pairs[pairs["photo_id"].isin(sha256.index) & pairs["other"].isin(sha256.index)]
    found: dict[frozenset[str], tuple[str, str]] = {}
    for one, other in known[["photo_id", "other"]].to_numpy(str).tolist():
        for a, b in itertools.product(members[sha256[one]], members[sha256[other]]):
            if a != b:
                found.setdefault(frozenset((a, b)), (a, b))
    return list(found.values())


def pairs_in_place(
    features: PhotoFeatures, *, hash_distance: int, correlation: float
) -> dict[tuple[int, int], tuple[float, str]]:
    """Return near-duplicates in place: (i, j) to their correlation and one line of evidence."""
    thumbs = features.thumbs()
    flat = fingerprints.flatten_light(thumbs)
    found = {}
    for i, j, turn, bits in fingerprints.hash_pairs(fingerprints.hashes(thumbs), hash_distance):
        if (value := fingerprints.correlation_in_place(flat[i], flat[j], turn)) >= correlation:
            found[i, j] = value, f"{TURNS[turn]}: hashes differ in {bits} of 64 bits, pixels correlate {value:.2f}"
    return found


def pairs_by_local_features(
    features: PhotoFeatures,
    candidates: Iterable[tuple[int, int]],
    known: Collection[tuple[int, int]],
    limits: PairThresholds,
) -> dict[tuple[int, int], tuple[float, str]]:
    """Return the candidates that are cut from one picture: (i, j) to the correlation and one line of evidence.

    `known` pairs are not compared again. A second round compares the friends of friends that the candidates left out:
    of 14 copies of one photo, ten nearest neighbours hold only some.
    """
    side = lru_cache(UNPACKED)(lambda row: _side(features, row))
    found: dict[tuple[int, int], tuple[float, str]] = {}
    tried = set(known)
    for what in ("comparing", "comparing again"):
        todo = sorted(set(candidates) - tried)
        for i, j in watched(todo, f"{what} {len(todo)} pairs of photos", len(todo)):
            match = compare(side(i), side(j), limits.inliers)
            many = match.inliers >= limits.many_inliers
            if match.inliers and match.correlation >= (limits.many_correlation if many else limits.patch_correlation):
                found[i, j] = match.correlation, _evidence(match)
        tried.update(todo)
        candidates = _friends_of_friends([*known, *found])
    return found


def unique_photos(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the first photo of each content (sha256), in order: what features and embeddings are computed from."""
    return manifest[~manifest["sha256"].duplicated()].reset_index(drop=True)


def find_pairs(
    manifest: pd.DataFrame, features: PhotoFeatures, embedded: np.ndarray | None, limits: PairThresholds
) -> pd.DataFrame:
    """Return all pairs (PAIR_COLUMNS) among the photos of `manifest`, which is sorted by photo_id and readable.

    `features` and `embedded` are of `unique_photos(manifest)`. Exact duplicates are compared with nothing but their
    first: a photo with the same bytes has the same other pairs. Without embeddings local features are left out (there
    are no candidates to compare), which is fast.
    """
    rows = [(i, j, "exact_duplicate", 1.0, "the same bytes") for i, j in exact_pairs(manifest)]
    first = np.flatnonzero(~manifest["sha256"].duplicated())
    in_place = pairs_in_place(features, hash_distance=limits.hash_distance, correlation=limits.hash_correlation)
    rows += [(first[i], first[j], "near_duplicate", *found) for (i, j), found in in_place.items()]
    if embedded is not None and len(first) > 1:
        near = candidate_pairs(features, embedded, limits.neighbours)
        cuts = pairs_by_local_features(features, near, in_place, limits)
        rows += [(first[i], first[j], "same_source", *found) for (i, j), found in cuts.items()]
    names = manifest["photo_id"].to_numpy()
    # The manifest is sorted by photo_id, so i < j gives photo_id < other.
    named = [(names[i], names[j], *rest) for i, j, *rest in rows]
    pairs = pd.DataFrame(named, columns=list(PAIR_COLUMNS)).astype({"score": "float64"})
    return pairs.sort_values(["photo_id", "other"], ignore_index=True)


def _side(features: PhotoFeatures, row: int) -> Side:
    grey, count = features.grey(row), features.counts[row]
    shown = (~fingerprints.filled(grey)).astype(np.uint8)
    return Side(grey, shown, np.array(features.points[row, :count]), root_sift(features.descriptors[row, :count]))


def _evidence(match: Match) -> str:
    how = "mirrored, " if match.mirrored else ""
    return (
        f"{how}{match.inliers} local features agree, {match.overlap:.0%} overlaps, correlating {match.correlation:.2f}"
    )


def _friends_of_friends(pairs: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    friends = defaultdict(set)
    for i, j in pairs:
        friends[i].add(j)
        friends[j].add(i)
    out: set[tuple[int, int]] = set()
    for partners in friends.values():
        out.update(combinations(sorted(partners)[:FRIENDS], 2))
    return out
