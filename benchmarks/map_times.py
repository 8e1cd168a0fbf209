"""Print, for every model of conf/model/, the layer its maps come from and what a map costs beside a forward pass.

python -m benchmarks.map_times [names…]    random weights, one photo at the model's own size, median of five
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import yaml

from mpox.model.backbone import build, input_record
from mpox.options import config_dir
from mpox.xai.cams import ClassActivation


def milliseconds(call: Callable[[], object]) -> float:
    """Median processor time of five calls after one to warm up."""
    call()
    laps = []
    for _ in range(5):
        start = time.process_time()
        call()
        laps.append(1000 * (time.process_time() - start))
    return median(laps)


def main() -> None:
    """Print a Markdown table."""
    torch.manual_seed(0)
    names = sys.argv[1:] or sorted(path.stem for path in Path(config_dir()).glob("model/*.yaml"))
    print("| model | layer | map | forward pass, ms | Grad-CAM, ms | ratio |\n|---|---|---|---|---|---|")
    for name in names:
        timm_name = yaml.safe_load((Path(config_dir()) / "model" / f"{name}.yaml").read_text())["timm_name"]
        record = input_record(timm_name)
        network = build(timm_name, 4, record).eval()
        images = torch.rand(1, 3, record.image_size, record.image_size) * 255
        explainer = ClassActivation(network, images)
        maps = explainer(images, torch.tensor([1]))
        with torch.no_grad():
            plain = milliseconds(lambda network=network, images=images: network(images))  # type: ignore[misc]
        cam = milliseconds(lambda explainer=explainer, images=images: explainer(images, torch.tensor([1])))  # type: ignore[misc]
        shape = "x".join(map(str, maps.shape[1:]))
        print(f"| {name} | `{explainer.layer}` | {shape} | {plain:.0f} | {cam:.0f} | {cam / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
