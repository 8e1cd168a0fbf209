"""Labels of another collection in a study's classes, and logits of several classes as two."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from mpox.errors import UserError
from mpox.external.mapping import collapse, ensemble, map_labels, task_classes

NAMES = ("mpox", "monkeypox")
FOUR = ("acne", "chickenpox", "healthy", "mpox")


def mapped(
    labels: list[str], classes: tuple[str, ...], positive: int | None, **mapping: str | None
) -> list[str | None]:
    return list(map_labels(pd.Series(labels), classes, positive, mapping=mapping, names=NAMES))


def test_labels_by_name_by_mapping_and_by_what_mpox_is_called() -> None:
    assert mapped(["Healthy", "MPOX", "acne"], FOUR, 3) == ["healthy", "mpox", "acne"]
    assert mapped(["Monkeypox", "spots"], FOUR, 3, spots="acne") == ["mpox", "acne"]
    assert mapped(["mpox", "measles"], FOUR, 3, measles=None) == ["mpox", None]
    assert mapped(["healthy", "Monkeypox", "measles"], ("other", "mpox"), 1) == ["other", "mpox", "other"]
    assert mapped(["a", "b"], ("a", "b"), None) == ["a", "b"]


def test_what_cannot_be_placed_is_an_error_that_says_how_to() -> None:
    with pytest.raises(UserError, match=r"does not know cowpox, measles .*'map=\{cowpox: <class>, measles: <class>\}'"):
        mapped(["measles", "cowpox", "mpox"], FOUR, 3)
    with pytest.raises(UserError, match="map names spots, which the study does not know"):
        mapped(["mpox"], FOUR, 3, mpox="spots")
    with pytest.raises(UserError, match="map names measles, which is no class of these photos"):
        mapped(["mpox"], FOUR, 3, measles="acne")
    with pytest.raises(UserError, match="leaves every photo out"):
        mapped(["mpox"], FOUR, 3, mpox=None)
    with pytest.raises(UserError, match="binary=true needs a study that knows mpox"):
        task_classes(("a", "b"), None, binary=True)


@given(st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_collapsing_sums_the_probabilities_of_the_rest(positive: int, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 8, (7, 4)).astype("float32")
    whole = softmax(logits.astype("float64"), axis=1)
    two = softmax(collapse(logits, positive).astype("float64"), axis=1)
    np.testing.assert_allclose(two[:, 1], whole[:, positive], atol=1e-5)
    np.testing.assert_allclose(two[:, 0], np.delete(whole, positive, axis=1).sum(1), atol=1e-5)


def test_the_ensemble_is_the_mean_probability() -> None:
    logits = np.random.default_rng(0).normal(0, 5, (4, 6, 3)).astype("float32")
    expected = softmax(logits.astype("float64"), axis=2).mean(0)
    np.testing.assert_allclose(softmax(ensemble(logits).astype("float64"), axis=1), expected, atol=1e-6)
    certain = np.array([[[900.0, -900.0]], [[-900.0, 900.0]]])
    np.testing.assert_allclose(softmax(ensemble(certain), axis=1), [[0.5, 0.5]], atol=1e-6)
