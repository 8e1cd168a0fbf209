"""How busy a device is while something runs."""

import shutil
import subprocess
import threading
from collections.abc import Callable

# How often it is asked how busy the device is.
EVERY_S = 1.0


class Watch:
    """Ask something every second while the block runs; `mean` is the mean of the answers, None where none came."""

    def __init__(self, ask: Callable[[], float | None]) -> None:
        self._ask, self._over = ask, threading.Event()
        self._answers: list[float] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            if (answer := self._ask()) is not None:
                self._answers.append(answer)

    def __enter__(self) -> "Watch":
        self._ask()  # what is "since the last call" starts here
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def mean(self) -> float | None:
        """Mean answer, rounded to a hundredth."""
        return round(sum(self._answers) / len(self._answers), 2) if self._answers else None


def processor_busy() -> float | None:
    """Busy share (0..1) of all cores since the last call."""
    import psutil  # not where only a GPU is asked

    return psutil.cpu_percent() / 100


def gpu_busy() -> float | None:
    """Busy share (0..1) of the first GPU by `nvidia-smi`, None where that is not there."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    return float(answer[0]) / 100 if answer and answer[0].isdigit() else None
