"""Print what an audit costs as photos grow: time, memory, where the time goes, and how many planted copies it finds.

python -m benchmarks.audit_growth 1000 2000 5000 20000    generated 96-px photos, every fifth a copy of the one before
"""

import cProfile
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mpox.curation import candidates, descriptors, duplicates, fingerprints, measures, nearest, quality
from mpox.curation.audit import audit
from mpox.data import sources

SIDE = 96
# Steps in the order of the audit, by the function that does each.
STEPS = (
    *(sources.folder, descriptors.open_features, candidates.embeddings, duplicates.pairs_in_place),
    *(fingerprints.hash_pairs, candidates.candidate_pairs, nearest.nearest, duplicates.pairs_by_local_features),
    *(measures.measure, quality.unlikeness),
)


def picture(seed: int) -> np.ndarray:
    """A skin-coloured picture with structure at every scale, unlike any of another seed, (96, 96, 3) uint8."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(0, sd, (side, side, 3)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        for side, sd in ((3, 20), (7, 20), (16, 18), (40, 10))
    ]
    return np.clip(np.array([190, 150, 130]) + sum(layers), 0, 255).astype(np.uint8)


def copied(pixels: np.ndarray, number: int) -> np.ndarray:
    """A copy as data sets hold them: mirrored and darker, turned, or another cut."""
    edits = (
        lambda: (pixels[:, ::-1] * 0.8).astype(np.uint8),
        lambda: np.rot90(pixels),
        lambda: cv2.resize(pixels[12:86, 10:84], (SIDE, SIDE), interpolation=cv2.INTER_AREA),
    )
    return np.ascontiguousarray(edits[number % 3]())


def generate(root: Path, count: int) -> set[tuple[str, str]]:
    """Write the photos; return the photo ids of each original and its copy."""
    (root / "one").mkdir(parents=True)
    planted = set()
    for number in range(count):
        if number % 5 < 4:
            Image.fromarray(picture(number)).save(root / "one" / f"{number:06}.jpg", quality=92)
        else:
            name = f"{number - 1:06}"
            copy = Image.fromarray(copied(picture(number - 1), number // 5))
            copy.save(root / "one" / f"{name}_copy.jpg", quality=88)
            planted.add((f"grown/one/{name}.jpg", f"grown/one/{name}_copy.jpg"))
    return planted


def main(count: int) -> None:
    """Audit `count` photos in this process and print one row."""
    with tempfile.TemporaryDirectory() as folder:
        planted = generate(Path(folder) / "photos", count)
        profile, wall, processor = cProfile.Profile(), time.perf_counter(), time.process_time()
        photos = profile.runcall(sources.folder, f"{folder}/photos", source="grown", strict=False)
        pairs = profile.runcall(audit, [photos], Path(folder) / "cache").pairs
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    found = set(pairs[["photo_id", "other"]].itertuples(index=False, name=None))
    seconds = {step.__name__: 0.0 for step in STEPS}
    for (_, _, name), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if name in seconds:
            seconds[name] += cumulative
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    steps = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    copies = f"{len(planted & found)} of {len(planted)} copies found, {len(found - planted)} other pairs"
    print(
        f"{count} photos: {wall:.0f} s, {processor:.0f} s of processor, {peak:.2f} GB; {copies}; s: {steps}", flush=True
    )


if __name__ == "__main__":
    sizes = [int(word) for word in sys.argv[1:]]
    if len(sizes) == 1:
        main(sizes[0])
    else:  # a process each: peak memory is a process's
        for size in sizes:
            subprocess.run([sys.executable, "-m", "benchmarks.audit_growth", str(size)], check=True)
