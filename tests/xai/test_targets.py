"""The targets an opened run is judged by are those it was trained on."""

import pandas as pd
import pytest

from mpox.data.task import binary
from mpox.errors import UserError
from mpox.runs.opened import class_indices


def test_every_name_of_mpox_is_mpox() -> None:
    labels = pd.Series(["Monkeypox", "mpox", "acne", "MPOX", "healthy"])
    names = ["mpox", "monkeypox"]
    trained = binary(labels, positive=names)
    assert class_indices(labels, trained.classes, names).tolist() == trained.values.tolist() == [1, 1, 0, 1, 0]


def test_unknown_classes_are_refused() -> None:
    with pytest.raises(UserError, match="does not know"):
        class_indices(pd.Series(["acne", "wart"]), ("acne", "healthy", "mpox"), ["mpox"])
