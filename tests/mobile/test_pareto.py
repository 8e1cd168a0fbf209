"""The Pareto frontier against brute force; exports are read back; the picture is drawn."""

import itertools
import random
from pathlib import Path

import pytest
from PIL import Image

from mpox.errors import UserError
from mpox.files import write_json
from mpox.mobile.run.pareto import COSTS, Point, frontier, read_points
from mpox.report.phones import write_pareto


def points_at_random(seed: int) -> list[Point]:
    draw = random.Random(seed)
    return [
        Point(
            str(k),
            f"m{k % 3}",
            f"r{k % 2}",
            0.0,
            draw.randint(1, 6),
            draw.randint(1, 6),
            draw.randint(1, 6) / 6,
            draw.random() < 0.8,
            30,
            draw.randint(1, 6),
        )
        for k in range(12)
    ]


@pytest.mark.parametrize(("seed", "cost"), list(itertools.product(range(20), COSTS)))
def test_the_frontier_is_what_no_kept_point_dominates(seed: int, cost: str) -> None:
    points = points_at_random(seed)
    pairs = {(getattr(p, cost), p.balanced_accuracy) for p in points if p.kept}
    best = {(c, q) for c, q in pairs if not any((d <= c and r >= q) and (d, r) != (c, q) for d, r in pairs)}
    found = frontier(points, cost)
    assert {(getattr(p, cost), p.balanced_accuracy) for p in found} == best
    assert all(p.kept for p in found)
    assert [getattr(p, cost) for p in found] == sorted(getattr(p, cost) for p in found)


def write_export(
    folder: Path, recipe: str, *, fold: int = 0, accuracy: float = 0.9, tried: list[str] | None = None
) -> None:
    def one(name: str, kept: bool) -> dict[str, object]:
        return {
            "recipe": name,
            "kept": kept,
            "size_bytes": 4_000_000,
            "latency_ms": 3.5,
            "arm": {"passed": kept, "cores": {"dotprod": {"instructions": {"other": 2_000_000}, "ratio": 0.5}}},
            "verification": {"photos": 40, "exported": {"balanced_accuracy": accuracy}},
        }

    card = {"study": "s", "model": "m", "fold": fold}
    failed = [one(name, False) for name in tried or []]
    write_json(folder / "export.json", {"name": folder.name, "card": card, "tried": failed, **one(recipe, True)})


def test_exports_are_read_with_what_missed_its_bound(tmp_path: Path) -> None:
    write_export(tmp_path / "a", "int8_mixed", tried=["int8_static"])
    write_export(tmp_path / "b", "fp32", accuracy=0.92)
    points = read_points(tmp_path)
    assert {(p.recipe, p.kept) for p in points} == {("int8_mixed", True), ("int8_static", False), ("fp32", True)}
    assert points[0].size_mb == 4.0 and points[0].photos == 40
    assert {(p.kept, p.instructions) for p in points} == {(True, 2.0), (False, None)}
    write_pareto(points, tmp_path / "drawn")
    assert min(Image.open(tmp_path / "drawn" / "pareto.png").size) > 400


def test_exports_of_other_folds_are_not_mixed_in(tmp_path: Path) -> None:
    write_export(tmp_path / "a", "fp32")
    write_export(tmp_path / "b", "fp32", fold=1)
    with pytest.raises(UserError, match=r"s fold 0, s fold 1.*study= and fold="):
        read_points(tmp_path)
    assert len(read_points(tmp_path, fold=1)) == 1
    with pytest.raises(UserError, match="no exports"):
        read_points(tmp_path / "nothing")
