"""Whether a file is kept, and so which recipe `auto` takes, rests on calibration and validation photos alone."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpox.errors import UserError
from mpox.files import read_json
from mpox.mobile.export.job import export_run
from mpox.mobile.export.original import Request, gather_original
from mpox.mobile.export.recipe_trials import MissedBoundError, Trial, first_kept
from mpox.mobile.int8.recipes import fewest
from mpox.mobile.run.runtime import PhoneModel
from mpox.mobile.run.verify import Bound
from mpox.runs.opened import OpenedRun, as_images, logits_of, open_run


@pytest.fixture(scope="module")
def run(phone_run: Path) -> OpenedRun:
    return open_run(phone_run, device="cpu")


@pytest.fixture(scope="module")
def disputed(run: OpenedRun, exported: Path) -> np.ndarray:
    """Pictures (N, S, S, 3) uint8 on which network and int8 file give different answers: mixtures near a tie."""
    file, rng = PhoneModel(exported, threads=1), np.random.default_rng(0)

    def answers(pictures: np.ndarray) -> np.ndarray:
        return logits_of(run.network, as_images(pictures), 16).argmax(1).numpy()

    first, second = (run.pixels[rng.integers(len(run.pixels), size=32)].astype(float) for _ in range(2))
    of_first = answers(np.rint(first).astype(np.uint8))
    low, high = np.zeros(32), np.ones(32)
    for _ in range(7):
        middle = (low + high) / 2
        mixed = np.rint(first + middle[:, None, None, None] * (second - first)).astype(np.uint8)
        as_first = answers(mixed) == of_first
        low, high = np.where(as_first, middle, low), np.where(as_first, high, middle)
    found = mixed[answers(mixed) != file.logits(mixed).argmax(1)]
    assert len(found)
    return found


def with_photos(run: OpenedRun, role: str, pictures: np.ndarray) -> OpenedRun:
    pixels, rows = np.array(run.pixels), run.rows(role)
    pixels[rows] = pictures[np.arange(len(rows)) % len(pictures)]
    return dataclasses.replace(run, pixels=pixels)


def request(exports: Path, recipe: str) -> Request:
    """As in `export_config`."""
    return Request(exports, recipe, bound=Bound(0.75, 0.25), calibration_photos=16, timing_rounds=0, capture_photos=0)


@pytest.mark.parametrize(("role", "kept"), [("test", True), ("val", False)])
def test_only_deciding_photos_decide(
    role: str, kept: bool, run: OpenedRun, disputed: np.ndarray, exported: Path, tmp_path: Path
) -> None:
    asked = request(tmp_path, "int8_static")
    original = gather_original(with_photos(run, role, disputed), asked)
    found = original.verify(PhoneModel(exported, threads=1).logits, asked)
    assert found["kept"] is kept
    if role == "test":
        assert found["verification"]["agreement"]["value"] == 0.0
        assert found["decided_on"] == read_json(exported / "export.json")["decided_on"]
        assert "test photos, which decide nothing, it agrees with the network on 0.0% of photos" in found["note"]


@pytest.mark.parametrize("most", [1, 2, 7, 17, 100])
def test_few_units_stay_in_float(most: int) -> None:
    for least in range(1, most + 1):
        asked: list[int] = []

        def enough(count: int, least: int = least, asked: list[int] = asked) -> bool:
            asked.append(count)
            return count >= least

        found, largest = fewest(enough, most), 2 ** (most.bit_length() - 1)
        assert max(asked) <= most and len(set(asked)) == len(asked) <= 2 * most.bit_length()
        if least > largest:
            assert found == largest
        else:
            assert least <= found <= least + max(1, found // 8) - 1


def test_of_a_round_the_smallest_file_that_keeps_the_bound_is_taken(tmp_path: Path) -> None:
    """A network of SiLU kept its bound as int8_mixed of 14.4 MB and as int8_dynamic of 5.0 MB."""
    sizes, kept = {"int8_static": 1, "int8_mixed": 9, "int8_dynamic": 5, "int8_qat": 2, "fp32": 20}, set[str]()
    asked: list[str] = []

    def try_recipe(recipe: str) -> Trial:
        asked.append(recipe)
        if recipe == "int8_static":
            raise UserError("it cannot be made")
        path = tmp_path / recipe
        path.write_bytes(bytes(sizes[recipe]))
        return Trial({"recipe": recipe, "kept": recipe in kept, "reasons": ["it misses"]}, path)

    def tried(name: str, *names: str) -> dict[str, Any]:
        kept.clear(), kept.update(names), asked.clear()
        given = request(tmp_path / "exports", "auto")
        return first_kept(given, name, "x", given.rounds, try_recipe, lambda *_: None, lambda last: "train", {})

    report = tried("a", "int8_mixed", "int8_dynamic", "int8_qat")
    assert (report["recipe"], asked) == ("int8_dynamic", ["int8_static", "int8_mixed", "int8_dynamic"])
    assert (tmp_path / "exports" / "a" / "x").stat().st_size == 5
    assert [(one["recipe"], one["kept"], one["reasons"]) for one in report["tried"]] == [
        ("int8_static", False, ["it cannot be made"]),
        ("int8_mixed", False, ["int8_dynamic keeps the bound too, and is smaller"]),
    ]
    assert tried("b", "int8_mixed")["recipe"] == "int8_mixed"
    assert tried("c", "fp32")["recipe"] == "fp32" and asked == [*[*sizes][:3], "int8_qat", "fp32"]
    with pytest.raises(MissedBoundError, match="recipe=fp32 is not exported: it misses; train"):
        tried("d")


@pytest.mark.slow
def test_auto_takes_the_same_recipe_whatever_the_test_photos(
    run: OpenedRun, disputed: np.ndarray, tmp_path: Path
) -> None:
    report = export_run(with_photos(run, "test", disputed), request(tmp_path, "auto"), lambda place: None)
    assert (report["recipe"], report["tried"]) == ("int8_static", [])
    assert "decide nothing" in read_json(tmp_path / report["name"] / "export.json")["note"]
