"""What a run's card keeps of its task: the class of each label, whatever the task made of it."""

import pandas as pd
import pytest

from mpox.data.task import Targets, binary, indices, label_map, multiclass
from mpox.errors import UserError

LABELS = pd.Series(["Monkeypox", "mpox", "acne", "MPOX", "healthy"])


def test_the_map_repeats_the_task() -> None:
    for task in (binary, multiclass):
        labels = LABELS if task is binary else LABELS.replace({"MPOX": "mpox", "Monkeypox": "mpox"})
        targets = task(labels, positive=["mpox", "monkeypox"])
        placed = label_map(labels, targets)
        assert indices(labels, placed).tolist() == targets.values.tolist()
        assert placed["acne"] == 0 and placed["mpox"] == len(targets.classes) - 1


def test_a_label_the_run_does_not_know_is_refused() -> None:
    with pytest.raises(UserError, match=r"does not know \(wart\)"):
        indices(pd.Series(["acne", "wart"]), {"acne": 0, "mpox": 1})


def test_a_task_that_splits_a_label_is_refused() -> None:
    labels = pd.Series(["acne", "acne", "mpox"])
    with pytest.raises(UserError, match="photos of acne different classes"):
        label_map(labels, Targets(("left", "right"), pd.Series([0, 1, 1]).to_numpy("int64"), None))
