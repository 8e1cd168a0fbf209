"""Cost of running a model on this machine: loading, latency, and engines side by side in interleaved runs.

Machines are noisy: only the ratios of runs that were interleaved compare engines; a lone median compares nothing.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpox.errors import UserError
from mpox.mobile.file.onnx_session import open_session
from mpox.mobile.run.native_output import native_stderr_discarded
from mpox.mobile.run.runtime import binding

# Uncounted runs at the start of each engine's turn: threads of the previous engine may still spin.
WARMUP = 2
# ExecuTorch's number for uint8 (ScalarType in schema/scalar_type.fbs).
BYTES = 0
Run = Callable[[], object]
Opener = Callable[[int], Run]


@dataclass(frozen=True)
class Timing:
    """Latency of one photo, in milliseconds: the first run after loading, then median and 90th percentile of `runs`."""

    load_ms: float
    first_ms: float
    median_ms: float
    p90_ms: float
    runs: int


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def opener(path: str | Path) -> Opener:
    """Return a function of the number of threads that loads a file and returns a run of one photo of noise.

    `.pte` by ExecuTorch's runtime, `.onnx` by onnxruntime, `.ckpt` by PyTorch (eager). Raises UserError for another.
    """
    place = Path(path)
    openers = {".pte": _open_program, ".onnx": _open_onnx, ".ckpt": _open_checkpoint}
    if place.suffix not in openers:
        raise UserError(f"{place}: no engine for {place.suffix or 'such'} files: give a .pte, .onnx or .ckpt")
    if not place.is_file():
        raise UserError(f"no file {place}: export the model first")
    return lambda threads: openers[place.suffix](place, threads)


def measure(path: str | Path, *, threads: int = 1, runs: int = 50) -> dict[str, Any]:
    """Time one file alone: `size_bytes`, `threads`, and the fields of `Timing` (milliseconds, two or more runs).

    `latency_ms` is the median. See `side_by_side` for comparisons.
    """
    with threads_kept():
        timing = time_one(opener(path), threads=threads, runs=runs)
    facts = {name: round(value, 3) for name, value in vars(timing).items()}
    return {"size_bytes": Path(path).stat().st_size, "threads": threads, "latency_ms": facts["median_ms"], **facts}


def time_one(open_engine: Opener, *, threads: int, runs: int) -> Timing:
    """Load an engine and run it `runs` + 1 times."""
    start = time.perf_counter()
    run = open_engine(threads)
    load_ms = (time.perf_counter() - start) * 1e3
    first, *rest = _times(run, runs + 1)
    return Timing(load_ms, first, statistics.median(rest), float(np.quantile(rest, 0.9)), runs)


def side_by_side(
    engines: Mapping[str, Opener], *, threads: int = 1, rounds: int = 10, runs: int = 10
) -> dict[str, dict[str, Any]]:
    """Time engines in turn: `rounds` rounds of `runs` counted runs each; the order rotates by one each round.

    Returns by engine `median_ms`, `p90_ms` and `least_ms` of all its runs, and `round_ms`, its median in each round,
    for `ratio`.
    """
    with threads_kept():
        ready = {name: open_engine(threads) for name, open_engine in engines.items()}
        times: dict[str, list[list[float]]] = {name: [] for name in ready}
        names = list(ready)
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                times[name].append(_times(ready[name], WARMUP + runs)[WARMUP:])
    result = {}
    for name, taken in times.items():
        every = np.concatenate(taken)
        result[name] = {
            "median_ms": round(float(np.median(every)), 3),
            "p90_ms": round(float(np.quantile(every, 0.9)), 3),
            "least_ms": round(float(every.min()), 3),
            "round_ms": [round(float(np.median(one)), 4) for one in taken],
        }
    return result


def ratio(rounds_ms: list[float], others_ms: list[float]) -> dict[str, float]:
    """Latency of one engine as a share of another's, round by round: median, lowest and highest of the rounds."""
    shares = np.array(rounds_ms) / np.array(others_ms)
    return {
        "median": round(float(np.median(shares)), 3),
        "low": round(float(shares.min()), 3),
        "high": round(float(shares.max()), 3),
    }


@contextmanager
def threads_kept() -> Iterator[None]:
    """Restore the process-wide numbers of threads of ExecuTorch and PyTorch after the block."""
    import torch

    before = binding()._threadpool_get_thread_count(), torch.get_num_threads()
    try:
        yield
    finally:
        _set_program_threads(before[0])
        torch.set_num_threads(before[1])


def noise(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """One photo of noise, 0..255: the cost of a run does not depend on the photo."""
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def network_opener(network: Any, image_size: int) -> Opener:
    """Return the opener of a network that is already in memory, run by PyTorch (eager), channels last."""

    def open_engine(threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        photo = torch.from_numpy(noise((1, 3, image_size, image_size))).contiguous(memory_format=torch.channels_last)
        network.eval()

        def run() -> object:
            with torch.inference_mode():
                return network(photo)

        return run

    return open_engine


def _set_program_threads(threads: int) -> None:
    if binding()._threadpool_get_thread_count() != threads:
        with native_stderr_discarded():
            binding()._unsafe_reset_threadpool(threads)


def _open_program(path: Path, threads: int) -> Run:
    import torch

    _set_program_threads(threads)
    program = binding()._load_program(str(path))
    method = program.load_method("forward")
    expected = method.method_meta().input_tensor_meta(0)
    dtype = "uint8" if expected.dtype() == BYTES else "float32"
    inputs = [torch.from_numpy(noise(tuple(expected.sizes()), dtype))]

    def run() -> object:
        # The program must outlive its method, which keeps no reference to it.
        return method(inputs) if program else None

    return run


def _open_onnx(path: Path, threads: int) -> Run:
    session = open_session(path, threads)
    expected = session.get_inputs()[0]
    photo = {expected.name: noise((1, *expected.shape[1:]))}
    return lambda: session.run(None, photo)


def _open_checkpoint(path: Path, threads: int) -> Run:
    from mpox.model.checkpoint import load_checkpoint

    network, card = load_checkpoint(path)
    return network_opener(network, card.record.image_size)(threads)


def _times(run: Run, count: int) -> list[float]:
    """Milliseconds of `count` runs."""
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        taken.append((time.perf_counter() - start) * 1e3)
    return taken
