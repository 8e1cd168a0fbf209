"""Peak memory and time of decoding photos: of the check before training, of the pixel store, and of an audit.

Draws photos once (noise over a smooth ground, so that they compress as photos do), then does each stage in a process of
its own and reports its peak resident memory beside that of a process that only imports the same.
`python -m benchmarks.decode_memory --photos 200 --megapixels 12 50`
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

STAGES = ("import", "check", "store", "audit", "predict")
CLASSES = 2


def draw(folder: Path, photos: int, megapixels: float, kind: str) -> None:
    """Write `photos` pictures of 4:3, half of them of each of two classes; each is another cut of one large drawing."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    rng = np.random.default_rng(0)
    ground = Image.fromarray(rng.integers(60, 200, (9, 12, 3)).astype(np.uint8)).resize((width + photos, height))
    grain = rng.normal(0, 4, (256, 256, 1)).astype(np.int16)
    for k in range(photos):
        pixels = np.asarray(ground.crop((k, 0, k + width, height)))
        rows = np.tile(np.roll(grain, (k * 7, k * 13), (0, 1)), (1, -(-width // 256), 1))[:, :width]
        noisy = np.empty_like(pixels)
        for top in range(0, height, 256):
            strip = pixels[top : top + 256]
            noisy[top : top + 256] = np.clip(strip + rows[: len(strip)], 0, 255)
        place = folder / f"class{k % CLASSES}" / f"{k:04d}.{kind}"
        place.parent.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {"quality": 88} if kind == "jpg" else {"compress_level": 1}
        Image.fromarray(noisy).save(place, **options)


def stage(name: str, folder: Path) -> None:
    """Do one stage in this process and print its peak memory in MiB and seconds as JSON."""
    from mpox.curation.audit import audit
    from mpox.data import sources
    from mpox.data.store import open_store

    start = time.perf_counter()
    if name == "predict":
        from mpox.data.photos import decoded
        from mpox.data.working_picture import square

        for path in sorted(folder.glob("*/*"))[:20]:
            with decoded(path) as photo:
                square(photo.picture, 224, "bicubic")
    elif name != "import":
        with tempfile.TemporaryDirectory() as cache:
            read = sources.folder(str(folder), strict=name != "audit")
            if name == "store":
                open_store(read.manifest, read.root, 224, "bicubic", Path(cache))
            if name == "audit":
                audit([read], Path(cache))
    # Not getrusage: its maximum is handed on from the process that starts this one.
    (peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps({"stage": name, "peak_mib": round(int(peak) / 1024), "seconds": seconds}))


def main() -> None:
    """Draw and measure, or, with --stage, be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 50])
    parser.add_argument("--kind", choices=("jpg", "png"), default="jpg")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        stage(given.stage, given.folder)
        return
    for megapixels in given.megapixels:
        with tempfile.TemporaryDirectory() as place:
            draw(Path(place), given.photos, megapixels, given.kind)
            size = sum(path.stat().st_size for path in Path(place).rglob("*.*")) / given.photos / 1e6
            what = f"{given.photos} {given.kind} of {megapixels:g} megapixels, {size:.1f} MB each"
            print(f"{what}, {os.cpu_count()} cores", flush=True)
            for name in given.stages:
                command = [sys.executable, __file__, "--stage", name, "--folder", place]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
