"""One fold of `benchmarks.gpu_pace.at_once`, in a process of its own: when its training began and ended."""

import json
import sys
import time
from pathlib import Path

from benchmarks.gpu_job import MODELS, Job, network, photos, quieten, settle


def main(device: str, n: str, side: str, epochs: str, folder: str) -> None:
    """Train; print start and end (seconds since the epoch) and the photos trained on as one line of JSON."""
    quieten()
    place = Path(folder) / f"fold-{time.time_ns()}"
    place.mkdir()
    pixels, targets = photos(place, int(n), int(side))
    job = Job(MODELS[0], pixels, targets, device, precision="bf16-mixed" if device == "cuda" else "32-true")
    net = network(MODELS[0], int(side))
    job.fit(net, 1)  # kernels are chosen and memory is taken
    settle(device)
    start = time.time()
    job.fit(net, int(epochs))
    settle(device)
    print(json.dumps({"start": start, "end": time.time(), "photos": int(epochs) * int((job.roles == "train").sum())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
