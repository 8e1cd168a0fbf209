"""Count the Arm64 instructions of one photo in int8 with the first units of a network left in float, and print a table.

python -m benchmarks.arm_units --model tf_efficientnet_lite0.in1k [--features stages] [--first 0,1,2,4]

Instructions hardly depend on values: weights are random and ranges come from two pictures of noise.
Needs the tools of docs/howto/arm.md.
"""

import argparse
from pathlib import Path

import torch

from mpox.mobile.export.arm_check import CORES
from mpox.mobile.file.lower import lower
from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.int8.quantize import Calibrated, units_of
from mpox.mobile.sdk.program import count, plugin
from mpox.mobile.sdk.tools import Target, arm64
from mpox.model.backbone import build, input_record
from mpox.model.features import LAST
from mpox.temporary import scratch


def instructions(network: PhoneNetwork, path: Path, target: Target) -> dict[str, int]:
    """Lower a network into `path`; return the instructions of one photo by core."""
    size = network.image_size
    lower(network, path, image_size=size, temperature=1.0, maps=False, constants={})
    photo = torch.zeros(1, 3, size, size).numpy()
    counted = {name: count(target, path, photo, cpu=cpu, plugin=plugin(target)) for name, cpu in CORES.items()}
    return {name: sum((found.instructions or {}).values()) for name, found in counted.items()}


def main() -> None:
    """Print a row for each number of units."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True, help="timm's name")
    parser.add_argument("--features", default=LAST, help="what the head takes: last or stages (last)")
    parser.add_argument("--first", default="0,1,2,4", help="how many units stay in float, several (0,1,2,4)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    record = input_record(given.model)
    size = record.image_size
    network = PhoneNetwork(build(given.model, 4, record, features=given.features), image_size=size, maps=False)
    units = list(dict.fromkeys(units_of(network).values()))
    noise, target = torch.rand(2, 3, size, size) * 255, arm64()
    print(f"| in float | {' | '.join(f'{name}, millions, of fp32' for name in CORES)} |")
    print("|---" * (1 + len(CORES)) + "|")
    with scratch() as folder:
        whole = instructions(network, folder / "fp32.pte", target)
        print(f"| all | {' | '.join(f'{value / 1e6:.1f}' for value in whole.values())} |", flush=True)
        for first in map(int, given.first.split(",")):
            made = Calibrated(network, noise, units[:first], round_weights=False).converted()
            found = instructions(made, folder / f"{first}.pte", target)
            cells = [f"{value / 1e6:.1f}, {value / whole[name]:.3f}" for name, value in found.items()]
            print(f"| {', '.join(units[:first]) or 'the head'} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
