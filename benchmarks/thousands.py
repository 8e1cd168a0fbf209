"""Print what a probe study of three CNNs x ten folds, and one default job, cost as photos grow: time, memory, disk.

python -m benchmarks.thousands 1000 10000 --place <folder>     generated photos of 256 pixels, four a subject
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.commands import generated, run
from mpox.data.synthetic import CLASSES

MODELS = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
PER_SUBJECT, SIDE = 4, 256


def main() -> None:
    """Run `python -m benchmarks.thousands`; a line of JSON for each command, as soon as it has ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="+", help="photos, a multiple of 16")
    parser.add_argument("--place", type=Path, required=True, help="where photos and runs go")
    parser.add_argument("--no-default", action="store_true", help="leave the default job of the largest count out")
    given = parser.parse_args()
    for count in given.counts:
        print(json.dumps(probe_study(given.place, count)), flush=True)
    if not given.no_default:
        print(json.dumps(default_job(given.place, max(given.counts))), flush=True)


def probe_study(place: Path, count: int) -> dict[str, Any]:
    """Run the study of frozen features from nothing; return its costs."""
    return _costs(
        place, count, "probe", "-m", "schedule=probe", f"model={','.join(MODELS)}", "fold=range(10)", "logger=csv"
    )


def default_job(place: Path, count: int) -> dict[str, Any]:
    """Run one fold of the first CNN, probed and fine-tuned, with nothing kept from before; return its costs."""
    return _costs(place, count, "default", f"model={MODELS[0]}", "fold=0", "logger=csv")


def _costs(place: Path, count: int, name: str, *options: str) -> dict[str, Any]:
    begin = time.perf_counter()
    photos = generated(place, count // len(CLASSES) // PER_SUBJECT, PER_SUBJECT, SIDE)
    drawn = time.perf_counter() - begin
    runs = place / f"{name}-{count}-{time.time_ns()}"
    ran = run("mpox.train", *options, *photos.options, f"runs_dir={runs}", "n_folds=10")
    return {
        "what": name,
        "photos": len(list(photos.root.glob("*/*.jpg"))),
        "drawing_s": round(drawn, 1),
        "seconds": round(ran.seconds, 1),
        "processor_s": round(ran.processor_seconds, 1),
        "largest_memory_gb": round(ran.largest_memory / 1e9, 2),
        "cache_gb": round(_bytes(runs / ".cache") / 1e9, 3),
        "runs_gb": round((_bytes(runs) - _bytes(runs / ".cache")) / 1e9, 3),
    }


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
