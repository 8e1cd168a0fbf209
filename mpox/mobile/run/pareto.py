"""Exports of one fold compared: their cost, their accuracy, and the Pareto frontier of the two."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mpox.errors import UserError
from mpox.files import read_record
from mpox.mobile.file.package import MODEL_FILE, ONNX_FILE
from mpox.mobile.run.measure import opener, side_by_side, threads_kept
from mpox.study.costs import arm_instructions

COSTS = ("size_mb", "latency_ms", "instructions")
ONNX = "onnx "


@dataclass(frozen=True)
class Point:
    """One file: size in MB (10^6 bytes), latency of a photo in ms (one thread, this kind of host), balanced accuracy.

    `recipe` of an ONNX file begins with `onnx `. `kept` is false for a recipe that missed its bound, of which
    there is no file. `pruned` is the share of channels removed (0 for none). `instructions`: millions of one photo on
    Arm64 with 8-bit dot products, where `mpox.mobile.arm` counted them and the file passed.
    """

    name: str
    model: str
    recipe: str
    pruned: float
    size_mb: float
    latency_ms: float | None
    balanced_accuracy: float
    kept: bool
    photos: int
    instructions: float | None = None


def read_points(exports: Path, study: str | None = None, fold: int | None = None) -> list[Point]:
    """Read every verified export below `exports`, and the recipes that were tried and missed their bound.

    Raises UserError where there is none, or where they are of several studies or folds, whose photos differ.
    """
    reports = []
    for path in sorted([*exports.glob("[!.]*/export.json"), *exports.glob("*.missed.json")]):
        report = read_record(path, card=dict, tried=list | None, verification=dict | None)
        card = report["card"]
        if study in (None, card["study"]) and fold in (None, card["fold"]):
            reports.append(report)
    if not reports:
        raise UserError(f"no exports in {exports}: python -m mpox.export run=<run> writes them")
    origins = sorted({f"{report['card']['study']} fold {report['card']['fold']}" for report in reports})
    if len(origins) > 1:
        raise UserError(f"{exports} holds exports of {', '.join(origins)}: give study= and fold= of those to compare")
    points: dict[tuple[str, str, float], Point] = {}
    for report in reports:
        for one in [*report.get("tried", []), *([report] if "recipe" in report else [])]:
            if (point := _point(report, one)) is not None and not (_key(point) in points and not point.kept):
                points[_key(point)] = point
    return list(points.values())


def timed(points: Sequence[Point], exports: Path, *, rounds: int = 10) -> list[Point]:
    """Return the points with the latencies of all exported files measured again, in interleaved runs, one thread.

    Latencies of different exports were measured at different times; only these may be compared.
    """
    files = {point.name: exports / point.name / _file(point) for point in points if point.kept}
    with threads_kept():
        taken = side_by_side({name: opener(path) for name, path in files.items()}, rounds=rounds)
    return [replace(point, latency_ms=taken[point.name]["median_ms"] if point.kept else None) for point in points]


def frontier(points: Sequence[Point], cost: str) -> list[Point]:
    """Return the kept points that no other dominates, cheapest first: every other as good costs more.

    `cost` is one of COSTS. Of two with equal cost and accuracy, both are returned.
    """
    usable = [point for point in points if point.kept and getattr(point, cost) is not None]
    best = [
        point
        for point in usable
        if not any(
            getattr(other, cost) <= getattr(point, cost)
            and other.balanced_accuracy >= point.balanced_accuracy
            and (getattr(other, cost), -other.balanced_accuracy) != (getattr(point, cost), -point.balanced_accuracy)
            for other in usable
        )
    ]
    return sorted(best, key=lambda point: (getattr(point, cost), point.balanced_accuracy))


def _point(report: dict[str, Any], one: dict[str, Any]) -> Point | None:
    """The point of one recipe of an export; None where it was not verified (lowered only, or not made)."""
    verification = one.get("verification")
    if not verification:
        return None
    instructions, _ = arm_instructions(one)
    return Point(
        name=report["name"],
        model=report["card"]["model"],
        recipe=f"{ONNX if one.get('backend') == 'onnxruntime' else ''}{one['recipe']}",
        pruned=float((report.get("prune") or {}).get("ratio", 0.0)),
        size_mb=one["size_bytes"] / 1e6,
        latency_ms=one.get("latency_ms"),
        balanced_accuracy=verification["exported"]["balanced_accuracy"],
        kept=bool(one["kept"]),
        photos=verification["photos"],
        instructions=None if instructions is None else instructions / 1e6,
    )


def _file(point: Point) -> str:
    return ONNX_FILE if point.recipe.startswith(ONNX) else MODEL_FILE


def _key(point: Point) -> tuple[str, str, float]:
    return point.model, point.recipe, point.pruned
