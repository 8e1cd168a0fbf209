"""The whole GPU check by one command: is it right, and how fast is it? Needs PyTorch, timm, lightning and hydra alone.

    python -m benchmarks.gpu --minutes 8 --out bench-gpu.json

Checks come first, then measures, in order of worth; what the minutes do not suffice for is named as left out. The file
is written after each part, so that a run that is cut counts. `--device cpu --small` rehearses it without a GPU.
"""

import argparse
import functools
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks import gpu_checks, gpu_pace
from benchmarks.gpu_job import quieten
from mpox.files import write_json

# Photos and side of the checks and of the measures; a rehearsal's are small.
FULL, SMALL = {"checks": (128, 224), "measures": (1024, 224)}, {"checks": (48, 64), "measures": (96, 64)}


def parts(device: str, small: bool, folder: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield the parts by name, in the order in which they run."""
    sizes = SMALL if small else FULL
    n, side = sizes["checks"]
    for name in gpu_checks.CHECKS:
        yield f"check {name}", functools.partial(gpu_checks.run, device, n, side, folder, name)
    n, side = sizes["measures"]
    of: dict[str, Any] = {"device": device, "n": n, "side": side, "folder": folder}
    # Compiling takes a processor minutes; augmenting on one needs OpenCV.
    paces = [
        setting
        for setting in gpu_pace.PACES
        if not (device == "cpu" and setting[2]) and (setting[3] == "device" or find_spec("cv2"))
    ]
    for setting in paces[:4] if device == "cuda" else paces[:1]:
        yield _pace_name(setting), functools.partial(gpu_pace.pace, *setting, **of)
    yield "studies", functools.partial(gpu_pace.studies, gpu_pace.MODELS[: 1 if small else 3], 10, **of)
    for number in gpu_pace.AT_ONCE[: 2 if small else None]:
        yield f"folds at once {number}", functools.partial(gpu_pace.at_once, number, **of)
    for setting in paces[4:] if device == "cuda" else []:
        yield _pace_name(setting), functools.partial(gpu_pace.pace, *setting, **of)


def _pace_name(setting: tuple[str, str, bool, str]) -> str:
    model, precision, compiled, place = setting
    return f"pace {model} {precision} photos on {place}{' compiled' if compiled else ''}"


def measure(device: str, minutes: float, out: Path, small: bool, only: Sequence[str] = ()) -> dict[str, Any]:
    """Run the parts (`only` those, where given) until the minutes are over; write `out` (JSON) after each.

    Returns what is in it.
    """
    end = time.monotonic() + 60 * minutes
    found: dict[str, Any] = {"device": _described(device), "torch": torch.__version__, "parts": {}, "left_out": []}
    with tempfile.TemporaryDirectory() as folder:
        for name, part in parts(device, small, Path(folder)):
            if only and name not in only:
                continue
            if time.monotonic() > end:
                found["left_out"].append(name)
                continue
            began = time.monotonic()
            try:
                found["parts"][name] = part()
            except Exception as error:  # one part that fails must not cost the others
                found["parts"][name] = {"good": False, "error": repr(error), "trace": traceback.format_exc(limit=4)}
            found["parts"][name]["seconds"] = round(time.monotonic() - began, 1)
            write_json(out, found)
            print(f"{name}: { {k: v for k, v in found['parts'][name].items() if k != 'trace'} }", flush=True)
    write_json(out, found)
    return found


def _described(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else f"processor, {torch.get_num_threads()} threads"


def main() -> None:
    """Run `python -m benchmarks.gpu`; exit with 1 where a check is bad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--out", type=Path, default=Path("bench-gpu.json"))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", nargs="*", default=[], help="names of parts, as printed")
    parser.add_argument("--small", action="store_true", help="a rehearsal: few and small photos")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    quieten()
    found = measure(options.device, options.minutes, options.out, options.small, options.only)
    bad = [name for name, part in found["parts"].items() if part.get("good") is False]
    left_out = ", ".join(found["left_out"]) or "none"
    print(f"{len(found['parts'])} parts, bad: {', '.join(bad) or 'none'}; left out: {left_out}")
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
