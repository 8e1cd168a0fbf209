"""Similarity of two maps of the same photo."""

import numpy as np
from scipy.stats import rankdata


def rank_correlation(a_NHW: np.ndarray, b_NHW: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each pair of maps: N values, -1..1; 0 where one of a pair is constant."""
    left, right = (_centred_ranks(maps) for maps in (a_NHW, b_NHW))
    scale = np.sqrt((left**2).sum(1) * (right**2).sum(1))
    return np.divide((left * right).sum(1), scale, out=np.zeros(len(left)), where=scale > 0)


def _centred_ranks(maps: np.ndarray) -> np.ndarray:
    ranks = rankdata(maps.reshape(len(maps), -1), axis=1)
    return np.asarray(ranks - ranks.mean(1, keepdims=True), np.float64)
