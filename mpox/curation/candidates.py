"""Which photos are worth comparing closely: each photo's nearest neighbours in two indices, so that not all pairs are.

One index holds each photo as a whole (features of a frozen CNN), the other its local features (VLAD), plain
and mirrored. Their mistakes differ, so together they miss little; see docs/measured/curation.md for how much.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA

from mpox.curation.descriptors import PhotoFeatures
from mpox.curation.local_features import mirror_descriptors, root_sift
from mpox.curation.nearest import BLOCK, nearest
from mpox.data.module import as_they_are
from mpox.data.store import open_store, store_key
from mpox.model.backbone import build, input_record
from mpox.model.frozen import cached_features
from mpox.model.weights import find
from mpox.progress import watched

# The backbone whose ImageNet weights are installed with the project, so that an audit needs no network.
BACKBONE = "tf_efficientnet_lite0.in1k"
BATCH = 32
# Visual words, and descriptors they are learned from.
WORDS, WORD_SAMPLE = 64, 100_000
# Values kept of each vector: neighbours hardly change, and comparing them is an order of magnitude cheaper.
DIMENSIONS = 256


def embeddings(manifest: pd.DataFrame, root: Path, cache: Path, device: torch.device) -> np.ndarray:
    """Return the frozen bundled backbone's features of each centre square, (N, 1280) float32; kept in `cache`."""
    record = input_record(BACKBONE)
    network = build(BACKBONE, 2, record, find(BACKBONE, "bundled"))
    pixels = open_store(manifest, root, record.image_size, record.interpolation, cache, record.resize)
    key = store_key(list(manifest["sha256"]), record.image_size, record.interpolation, record.resize)
    return cached_features(network, as_they_are(pixels), key, BATCH, device, cache).numpy()


def vlad(features: PhotoFeatures, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return one vector of local features a photo, plain and mirrored, (N, WORDS * 128) float16 unit rows each.

    Jegou et al., "Aggregating local descriptors into a compact image representation", CVPR 2010, with each word's part
    normalised on its own (Arandjelovic and Zisserman, "All about VLAD", CVPR 2013). The words are learned from the
    photos themselves, on a sample drawn with `seed`.
    """
    rng = np.random.default_rng(seed)
    share = min(1.0, WORD_SAMPLE / max(1, int(features.counts.sum())))
    sample = [
        root_sift(row[rng.permutation(count)[: int(np.ceil(count * share))]])
        for row, count in zip(features.descriptors, features.counts, strict=True)
    ]
    learned = np.concatenate(sample)
    if len(learned) < WORDS:  # a few photos without structure: no two of them can be matched anyway
        return np.zeros((len(features), 1), np.float16), np.zeros((len(features), 1), np.float16)
    words = MiniBatchKMeans(WORDS, random_state=seed, n_init=1, batch_size=4096).fit(learned).cluster_centers_
    plain = np.empty((len(features), WORDS * learned.shape[1]), np.float16)
    turned = np.empty_like(plain)
    rows = zip(features.descriptors, features.counts, strict=True)
    for row, (descriptors, count) in enumerate(watched(rows, f"indexing {len(features)} photos", len(features))):
        values = root_sift(descriptors[:count])
        plain[row], turned[row] = _vlad(values, words), _vlad(mirror_descriptors(values), words)
    return plain, turned


def compressed(index: np.ndarray, *queries: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """Project `index` (N, D) and queries (M, D) onto the index's main axes, as unit rows of 256 at most (float32)."""
    dimensions = min(DIMENSIONS, *index.shape)
    axes = PCA(dimensions, svd_solver="randomized", random_state=seed)
    sample = np.random.default_rng(seed).permutation(len(index))[:5000]
    with np.errstate(invalid="ignore"):  # where all rows are alike there is no variance to divide by
        axes.fit(index[np.sort(sample)].astype(np.float32))
    return [
        _unit(np.concatenate([axes.transform(b.astype(np.float32)) for b in _blocks(q)])) for q in (index, *queries)
    ]


def neighbours(index: np.ndarray, queries: np.ndarray, k: int) -> set[tuple[int, int]]:
    """Return pairs (i, j), i < j, where one is among the k rows of `index` most like the other's row of `queries`."""
    rows, _ = nearest(index, queries, min(k + 1, len(index)))  # a photo is its own neighbour
    return {(min(i, j), max(i, j)) for i, row in enumerate(rows.tolist()) for j in row if i != j}


def candidate_pairs(features: PhotoFeatures, embedded: np.ndarray, k: int) -> set[tuple[int, int]]:
    """Return pairs (i, j), i < j, that are among each other's k nearest by embedding or by plain or mirrored VLAD."""
    (whole,) = compressed(embedded)
    plain, turned = compressed(*vlad(features))
    return neighbours(whole, whole, k) | neighbours(plain, plain, k) | neighbours(plain, turned, k)


def _vlad(values: np.ndarray, words: np.ndarray) -> np.ndarray:
    out = np.zeros_like(words)
    nearest = (np.square(words).sum(1) - 2 * values @ words.T).argmin(1) if len(values) else np.zeros(0, int)
    np.add.at(out, nearest, values - words[nearest])
    return _unit(_unit(out).reshape(1, -1))[0].astype(np.float16)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _blocks(rows: np.ndarray) -> Iterable[np.ndarray]:
    return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
