"""How often the audit without lesion masks finds a planted shortcut, and how often it accuses where there is none.

python -m benchmarks.audit_calibration 20              seeds 0 to 19 of each kind of set; about 8 s of a core a set
python -m benchmarks.audit_calibration 20 clean cast   of these kinds alone

Each set: 160 generated photos of 80 subjects, 128 px, four classes, EfficientNet-Lite0 with frozen features on two
thirds of them at most, audited by `mpox.explain audit` on the test and validation photos of fold 0 of 3. Prints a row a
set, then the table of docs/measured/explanations.md.
"""

import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from benchmarks.planted import Plant, cast, framed, photo_set, sticker
from mpox.commands.explain import explain
from mpox.options import config_dir
from mpox.training.job import train

# What is planted, and whether it says nothing of the class.
KINDS: dict[str, tuple[Plant | None, bool]] = {
    "sticker": (sticker, False),
    "frame": (framed, False),
    "cast": (cast, False),
    "clean": (None, False),
    "stickers at random": (sticker, True),
    "casts at random": (cast, True),
}


def audited(folder: Path, manifest: Path, seed: int, *options: str) -> dict[str, Any]:
    """Train on the photos of a manifest in `folder`, and audit the run: the report, with the test fold's figures."""
    common = [
        "data_guard.search=none",  # stickers on plain skin make copies of photos that show different people
        *("data=manifest", f"data.manifest={manifest}", "schedule=probe", "n_folds=3", "trainer=cpu", "logger=none"),
        *(f"runs_dir={folder}/runs", "study=audit", f"seed={seed}", *options),
    ]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("train", common)
        result = train(cfg)
        run = folder / "runs" / "audit" / cfg.model.name / "fold-0"
        report = explain(compose("explain", ["command=audit", f"run={run}", "split=all"]))
    return {**report, "run": run, "test": result["test"]}


def without_masks(kind: str, seed: int, size: int = 128) -> dict[str, Any]:
    """Audit a set of a kind, without masks."""
    plant, at_random = KINDS[kind]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = photo_set(folder / "photos", plant=plant, at_random=at_random, masks=False, seed=seed, size=size)
        return audited(folder, manifest, seed, f"image_size={size}")


def verdict(report: dict[str, Any]) -> str:
    """Return `accused`, `hint` (some test hints at a shortcut), `clear`, or `not audited`."""
    levels = {test["level"] for test in report["tests"]}
    if not levels:
        return "not audited"
    return "accused" if report["flagged"] else "hint" if "hint" in levels else "clear"


def main(seeds: int, kinds: list[str]) -> None:
    """Print a row a set, then the table."""
    logging.disable(logging.WARNING)
    found: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    by_test: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    for seed in range(seeds):
        for kind in kinds:
            report = without_masks(kind, seed)
            found[kind][verdict(report)] += 1
            by_test[kind].update(f"{test['name']}: {test['level']}" for test in report["tests"]
                                 if test["level"] != "clear")  # fmt: skip
            shown = {test["name"]: test["level"] for test in report["tests"] if test["level"] != "clear"}
            print(f"{kind}, seed {seed}: intact {report['intact']['value']:.2f}, {verdict(report)} {shown}", flush=True)
    print("\n| set | sets | accused | hint at most | clear | not audited |\n|---|---|---|---|---|---|")
    for kind, counts in found.items():
        cells = (counts.total(), *(counts[word] for word in ("accused", "hint", "clear", "not audited")))
        print(f"| {kind} | {' | '.join(map(str, cells))} |")
    for kind, counts in by_test.items():
        print(f"{kind}: {', '.join(f'{what} {count}' for what, count in counts.most_common())}")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 20, given[1:] or list(KINDS))
