"""The hand-over's measure: splits that leak nothing, a distilled head that follows its teacher, paired intervals."""

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.frozen_views import PhotoTable
from benchmarks.repeated_splits import INNER, OUTER, cells, compared, table
from benchmarks.small_sets import JUDGED, parts
from benchmarks.soft_head import fit_soft_head


@pytest.fixture(scope="module")
def photos() -> PhotoTable:
    """240 photos of 120 groups in three classes; no pixels."""
    targets, groups = np.repeat(np.arange(120) % 3, 2), np.repeat(np.arange(120), 2).astype(str)
    unused: Any = None
    return PhotoTable(targets, groups, ("a", "b", "mpox"), 2, unused)


def test_every_photo_is_tested_once_by_networks_that_saw_none_of_its_group(photos: PhotoTable) -> None:
    found = list(cells(photos, 7))
    assert len(found) == OUTER
    assert sorted(np.concatenate([cell.test for cell in found])) == list(range(240))
    for cell in found:
        assert not set(photos.groups[cell.test]) & set(photos.groups[cell.rest])
        assert len(cell.train) == INNER and (cell.held_out.sum(0)[cell.rest] == 1).all()
        for train, val, held_out in zip(cell.train, cell.val, cell.held_out, strict=True):
            assert (train | val | held_out).nonzero()[0].tolist() == cell.rest.tolist()
            groups = [set(photos.groups[part]) for part in (train, val, held_out)]
            assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


def test_a_distilled_head_answers_as_its_teacher() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(200, 30, generator=random) * 5 + 3
    weight = torch.randn(4, 30, generator=random) / 10
    shares = (features @ weight.T).softmax(1)
    found, bias = fit_soft_head(features[:150], shares[:150], 1e-6)
    answers = (features[150:].double() @ found.T + bias).softmax(1)
    assert (answers - shares[150:]).abs().max() < 0.02


def test_differences_are_paired_and_seeds_do_not_narrow_them(photos: PhotoTable) -> None:
    rows, random = np.arange(240), np.random.default_rng(0)
    good = np.eye(3)[photos.targets] * 2 + random.normal(size=(240, 3))
    worse = np.where(random.random((240, 1)) < 0.3, random.normal(size=(240, 3)), good)
    once = compared({"good": [(rows, good)], "same": [(rows, good)], "worse": [(rows, worse)]}, photos, "good")
    assert once["same"]["against"]["balanced_accuracy"] == [0, 0, 0]
    value, low, high = once["worse"]["against"]["balanced_accuracy"]
    assert low <= value <= high < 0
    twice = compared({"good": [(rows, good)] * 2, "worse": [(rows, worse)] * 2}, photos, "good")
    assert twice["worse"]["against"]["balanced_accuracy"] == pytest.approx([value, low, high], abs=1e-9)
    assert table(once, "good").count("\n") == 4


def test_parts_of_a_set_are_whole_groups_that_do_not_judge_themselves(photos: PhotoTable) -> None:
    train, val, judged = parts(photos, 60, 3)
    assert 50 <= train.sum() + val.sum() <= 60 and val.sum() and not (train & val).any()
    assert len(judged) == min(JUDGED, 240 - train.sum() - val.sum())
    groups = [set(photos.groups[part]) for part in (train, val, judged)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
