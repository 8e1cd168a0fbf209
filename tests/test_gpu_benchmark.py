"""The rehearsal of the GPU check on this processor: every check runs, and a run that is cut has written what it did."""

from pathlib import Path

import pytest

from benchmarks.gpu import measure
from benchmarks.gpu_checks import CHECKS
from mpox.files import read_json


@pytest.mark.slow
def test_the_rehearsal_finds_nothing_wrong_and_names_what_it_left_out(tmp_path: Path) -> None:
    out = tmp_path / "bench-gpu.json"
    found = measure("cpu", 0.05, out, small=True)
    assert found["parts"]["check outputs"]["good"] and found["left_out"]
    assert read_json(out) == found
    found = measure("cpu", 10.0, out, small=True, only=[f"check {name}" for name in CHECKS])
    assert [name for name, part in found["parts"].items() if not part["good"]] == []
    assert len(found["parts"]) == len(CHECKS) and not found["left_out"]
