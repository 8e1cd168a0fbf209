"""Does the box before the filter change answers? One step against two, on photos taken again at several sizes.

python -m benchmarks.two_step --photos data/msid --model exports/<name> --count 24
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from mpox.commands.predict import open_model
from mpox.data import working_picture
from mpox.data.photos import open_photo
from mpox.data.walk import walk
from mpox.data.working_picture import ONE_STEP, TWO_STEP, box_side, square
from mpox.mobile.run.captures import taken

# Sides of the centre square: of 12 megapixels; the least that is boxed by 2 and by 4; with remainders.
SIDES = (3024, 896, 1792, 1345, 2251)
GAPS = (2, 3, 4)
# Fine texture: sd in levels of a pattern of single pixels, beside the noise of `taken`.
TEXTURE = 8.0


def main() -> None:
    """Print one row a side and gap: differences in levels and in probability, agreement; and processor time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--count", type=int, default=24)
    given = parser.parse_args()
    model = open_model(given.model, sensitivity=0.95, threads=1)
    files = [given.photos / name for name in walk(given.photos).photos]
    random = np.random.default_rng(0)
    found: dict[tuple[int, int], list[tuple[float, float, float, bool]]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    for file in files[:: max(1, len(files) // given.count)][: given.count]:
        whole = np.asarray(taken(open_photo(file), random), np.float32)
        whole += random.normal(0, TEXTURE, (*whole.shape[:2], 1)).astype(np.float32)
        camera = Image.fromarray(whole.clip(0, 255).astype(np.uint8))
        for side in SIDES:
            photo = camera if side == camera.width else camera.resize((side, side), Image.Resampling.BICUBIC)
            before = time.process_time()
            one = square(photo, model.image_size, model.interpolation, ONE_STEP)
            seconds["one step"] += (time.process_time() - before) * (side == camera.width)
            chances = model.probabilities(one)[0]
            for gap in GAPS:
                working_picture.GAP = gap
                before = time.process_time()
                two = square(photo, model.image_size, model.interpolation, TWO_STEP)
                seconds[f"gap {gap}"] += (time.process_time() - before) * (side == camera.width)
                levels = np.abs(one.astype(int) - two)
                other = model.probabilities(two)[0]
                moved = float(np.abs(chances - other).max())
                found[side, gap].append((levels.mean(), levels.max(), moved, chances.argmax() == other.argmax()))
    print("| side | gap | k | mean, largest difference in levels | mean, largest abs. Δp | agreement |")
    print("|---|---|---|---|---|---|")
    for (side, gap), rows in sorted(found.items(), reverse=True):
        working_picture.GAP = gap
        mean, largest, moved, same = np.array(rows, float).T
        k = box_side(side, side, model.image_size)
        shares = f"{moved.mean():.4f}, {moved.max():.3f} | {same.mean():.3f}"
        print(f"| {side} | {gap} | {k} | {mean.mean():.3f}, {largest.max():.0f} | {shares} |")
    print({name: f"{1000 * value / given.count:.1f} ms" for name, value in seconds.items()})


if __name__ == "__main__":
    main()
