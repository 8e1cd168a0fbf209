"""The table of `benchmarks.export_matrix`: cells of all folds of a model, recipe and engine, pooled."""

from pathlib import Path
from typing import Any

import numpy as np

from mpox.files import read_json
from mpox.stats.pooled import softmax

COLUMNS = (
    *("model", "recipe", "engine", "photos", "agreement", "with itself", "balanced accuracy, network → file"),
    *("largest, mean abs. Δp", "MB", "layers", "million instructions, share of fp32's", "latency, share of fp32's"),
)


def table(out: Path) -> str:
    """Return the table in Markdown of all cells below `out`."""
    cells: dict[tuple[str, str, str], list[Path]] = {}
    for path in sorted(out.glob("*/fold-*/cells/*.json")):
        recipe, _, engine = path.stem.partition("-")
        cells.setdefault((path.parents[2].name, recipe, engine), []).append(path)
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for (model, recipe, engine), paths in cells.items():
        lines.append(f"| {model} | {recipe} | {engine} | {' | '.join(row(paths))} |")
    return "\n".join(lines)


def row(paths: list[Path]) -> list[str]:
    """The columns after the engine, of one cell's folds."""
    found = [read_json(path) for path in paths]
    networks = [read_json(path.parents[1] / "network.json") for path in paths]
    given = softmax(np.concatenate([np.array(one["outputs"]) for one in found]))
    parts = [
        (one, len(answers["outputs"])) for one, answers in zip(networks, found, strict=True)
    ]  # with --photos, fewer
    targets = np.concatenate([one["targets"][:n] for one, n in parts])
    own = softmax(np.concatenate([np.array(one["logits"][:n]) / one["temperature"] for one, n in parts]))
    differences = np.abs(own - given).max(1)
    accuracies = (_balanced_accuracy(p.argmax(1), targets) for p in (own, given))
    layers = [", ".join(f"{n} {kind}" for kind, n in one["contents"]["layers"].items()) for one in found]
    return [
        str(len(targets)),
        f"{np.mean(own.argmax(1) == given.argmax(1)):.3f}",
        f"{np.mean([one['self_agreement'] for one in networks]):.3f}",
        " → ".join(f"{value:.3f}" for value in accuracies),
        f"{differences.max():.3f}, {differences.mean():.4f}",
        f"{np.mean([one['size_bytes'] for one in found]) / 1e6:.2f}",
        " / ".join(dict.fromkeys(layers)),
        _instructions(paths, found),
        _latency(paths),
    ]


def _balanced_accuracy(predicted: np.ndarray, targets: np.ndarray) -> float:
    return float(np.mean([np.mean(predicted[targets == k] == k) for k in np.unique(targets)]))


def _instructions(paths: list[Path], found: list[dict[str, Any]]) -> str:
    if any("instructions" not in one for one in found):
        return ""
    own = sum(sum(one["instructions"].values()) for one in found) / len(found)
    floats = [path.with_name(f"fp32-{path.stem.partition('-')[2]}.json") for path in paths]
    if not all(path.is_file() for path in floats):
        return f"{own / 1e6:.0f}"
    other = sum(sum(read_json(path)["instructions"].values()) for path in floats) / len(floats)
    return f"{own / 1e6:.0f}, {own / other:.2f}"


def _latency(paths: list[Path]) -> str:
    taken = [path.parents[1] / "latencies" / path.name for path in paths]
    shares = [read_json(path)["against_fp32"]["median"] for path in taken if path.is_file()]
    return f"{np.mean(shares):.2f}" if shares else ""
