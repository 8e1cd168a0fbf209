"""Agreement beyond chance against worked examples that were published."""

import numpy as np
import pytest

from mpox.xai.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): four observers, twelve units, values missing.
OBSERVERS = ["1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."]
# Fourteen raters put ten subjects into five categories: counts (the example of the Wikipedia article, kappa 0.210).
COUNTS = [
    *((0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1)),
    *((7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7)),
]


def test_krippendorffs_own_example() -> None:
    table = np.array([[-1 if one == "." else int(one) - 1 for one in line.split()] for line in OBSERVERS]).T
    assert krippendorff_alpha(table) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(table, "ordinal") == pytest.approx(0.815, abs=5e-4)
    with pytest.raises(ValueError, match="interval"):
        krippendorff_alpha(table, "interval")


def test_fleiss_example() -> None:
    table = np.array([np.repeat(range(5), row) for row in COUNTS])
    assert fleiss_kappa(table) == pytest.approx(0.210, abs=5e-4)


def test_cohen_example() -> None:
    """Fifty proposals, two readers: 20 both yes, 15 both no, 5 and 10 apart: kappa 0.4 (Wikipedia's article)."""
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert cohen_kappa(np.array(pairs)) == pytest.approx(0.4)
    assert cohen_kappa(np.array([*pairs, (-1, 1)])) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="two raters"):
        cohen_kappa(np.zeros((3, 3), int))


def test_an_option_that_nobody_chose_still_counts_as_a_step() -> None:
    """Codes 0, 1 and 3 of a scale of four; weights and chance written out. Without the gap 3 would lie beside 1."""
    pairs = np.array([(0, 0), (0, 1), (1, 3), (3, 3), (1, 1), (3, 1)])
    apart = np.mean([(a - b) ** 2 for a, b in pairs])
    by_chance = np.mean([(a - b) ** 2 for a in pairs[:, 0] for b in pairs[:, 1]])
    assert cohen_kappa(pairs, "ordinal") == pytest.approx(1 - apart / by_chance)


def test_limits() -> None:
    perfect = np.array([[0, 0], [1, 1], [2, 2]])
    assert (cohen_kappa(perfect), fleiss_kappa(perfect), krippendorff_alpha(perfect)) == (1, 1, 1)
    constant = np.zeros((4, 2), int)
    assert np.isnan([cohen_kappa(constant), fleiss_kappa(constant), krippendorff_alpha(constant)]).all()
    alone = np.array([[0, -1], [-1, 1]])
    assert np.isnan(krippendorff_alpha(alone))
