"""Which rows are near each other: every two compared while that is quickest, an index of faiss beyond.

The cost of comparing every two grows with the square of the photos, that of an index almost in proportion to them. Bit
codes go through one that misses nothing (multi-index hashing), vectors through a graph that visits a few hundred rows a
query (HNSW) and misses few: docs/measured/curation.md has how many, and from how many photos on each is the quicker.
"""

from collections.abc import Callable, Iterator

import numpy as np

# Photos up to which every two are compared.
EXHAUSTIVE = 5000
# Rows answered at once: bounds memory to BLOCK x N x 4 bytes.
BLOCK = 512
# HNSW (Malkov and Yashunin, doi 10.1109/TPAMI.2018.2889473): links a row, and rows looked at to place and to find one.
LINKS, PLACING, FINDING = 32, 100, 128
# Multi-index hashing (Norouzi, Punjani, Fleet, doi 10.1109/TPAMI.2013.231): parts of a 64-bit code, and bits of each.
PARTS, PART_BITS = 5, 12
# Queries (M, D) and k to rows (M, k) and their cosines (M, k).
Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def nearest(index: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the `k` rows of `index` (N, D) most like each of `queries` (M, D), unit float32 rows, N >= k.

    Their numbers (M, k) int64 and cosines (M, k) float32, in no order. The same input has the same output; exact up to
    EXHAUSTIVE rows.
    """
    search = _every_two(index) if len(index) <= EXHAUSTIVE else _graph(index)
    found = [search(queries[start : start + BLOCK], k) for start in range(0, len(queries), BLOCK)]
    return np.concatenate([rows for rows, _ in found]), np.concatenate([similarity for _, similarity in found])


def codes_within(codes: np.ndarray, queries: np.ndarray, distance: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield, block by block of queries, where codes (N) and queries (M) uint64 differ in `distance` bits at most.

    As (query number, code number, bits), int64 each, by query. Exact, whatever the number of codes.
    """
    import faiss  # only here and below: small sets need no second OpenMP runtime beside PyTorch's

    index = faiss.IndexBinaryMultiHash(64, PARTS, PART_BITS)
    # Two codes `distance` bits apart differ in some part by its share of them at most: looking there misses nothing.
    index.nflip = distance // PARTS
    index.add(codes.view(np.uint8).reshape(-1, 8))
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK].view(np.uint8).reshape(-1, 8)
        limits, bits, rows = index.range_search(block, distance + 1)
        ends = limits.astype(np.int64)
        query = start + np.repeat(np.arange(len(block)), ends[1:] - ends[:-1])
        yield query, rows, bits.astype(np.int64)


def _every_two(index: np.ndarray) -> Search:
    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        similarity = queries @ index.T
        rows = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        return rows, np.take_along_axis(similarity, rows, axis=1)

    return search


def _graph(index: np.ndarray) -> Search:
    import faiss

    graph = faiss.IndexHNSWFlat(index.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = PLACING, FINDING
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # several threads would link the rows in an order of their own each time
    graph.add(index)
    faiss.omp_set_num_threads(threads)

    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        similarity, rows = graph.search(queries, k)
        return rows, similarity

    return search
