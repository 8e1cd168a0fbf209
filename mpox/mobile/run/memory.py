"""Peak memory of a running model, measured in a separate process that imports only its engine.

`python -m mpox.mobile.run.memory <file>` is that process: it prints one line of JSON.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mpox.errors import UserError
from mpox.mobile.run.measure import opener
from mpox.mobile.run.runtime import binding

# Runs whose peak counts: the first allocates the memory, the others show that it does not grow.
RUNS = 5
TIMEOUT_S = 300


def peak_memory(path: str | Path) -> dict[str, Any]:
    """Measure a `.pte`, `.onnx` or `.ckpt` in a fresh process, one thread.

    `runtime_mb`: the process with the engine imported; `model_mb`: what loading the file and running one photo at a
    time adds at its peak (MB of 10^6 bytes, resident); `load_ms`, `first_ms`: in that fresh process. Linux only: on
    other systems the first two are None. Raises UserError where the process fails.
    """
    command = [sys.executable, "-m", "mpox.mobile.run.memory", str(Path(path).resolve())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=Path.cwd())
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"the memory of {path} cannot be measured ({last[:200]}): run {' '.join(command[1:])}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _measure_here(path: str) -> dict[str, Any]:
    open_engine = opener(path)
    _import_engine(Path(path).suffix)
    _reset_peak()
    before = _resident("VmRSS")
    start = time.perf_counter()
    run = open_engine(1)
    loaded = time.perf_counter()
    run()
    first = time.perf_counter()
    for _ in range(RUNS - 1):
        run()
    peak = _resident("VmHWM")
    return {
        "runtime_mb": None if before is None else round(before / 1e6, 1),
        "model_mb": None if before is None or peak is None else round((peak - before) / 1e6, 1),
        "load_ms": round((loaded - start) * 1e3, 2),
        "first_ms": round((first - loaded) * 1e3, 2),
    }


def _import_engine(suffix: str) -> None:
    """Import the file's engine and nothing else: onnxruntime needs no PyTorch."""
    if suffix == ".onnx":
        import onnxruntime  # noqa: F401
    if suffix == ".ckpt":
        import mpox.model.checkpoint  # noqa: F401
    if suffix == ".pte":
        binding()


def _reset_peak() -> None:
    """Reset the kernel's record of peak memory, which includes the imports."""
    place = Path("/proc/self/clear_refs")
    if place.exists():
        place.write_text("5")


def _resident(name: str) -> int | None:
    """Return VmRSS (now) or VmHWM (peak) in bytes; None where there is no /proc."""
    place = Path("/proc/self/status")
    if not place.exists():
        return None
    lines = [line for line in place.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(lines[0].split()[1]) * 1024


if __name__ == "__main__":
    try:
        print(json.dumps(_measure_here(sys.argv[1])))
    except UserError as error:
        sys.exit(f"error: {error}")
