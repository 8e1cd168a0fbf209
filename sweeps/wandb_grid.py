"""The full comparison as a W&B sweep, for agents on several machines that share a runs directory.

    python sweeps/wandb_grid.py > wandb_grid.yaml && wandb sweep wandb_grid.yaml, then `wandb agent <id>` on each.

Printed, not kept: the CNNs are those of conf/model/.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from mpox.options import config_dir

FOLDS = 10


def grid(conf: Path) -> dict[str, Any]:
    """Return the sweep over every CNN of `conf`/model and every fold."""
    return {
        "program": "mpox.train",
        "project": "mpox",
        "method": "grid",
        "parameters": {
            "model": {"values": sorted(path.stem for path in (conf / "model").glob("*.yaml"))},
            "fold": {"values": list(range(FOLDS))},
        },
        "command": ["${env}", "python", "-m", "mpox.train", "study=wandb_grid", "${args_no_hyphens}"],
    }


if __name__ == "__main__":
    yaml.safe_dump(grid(Path(config_dir())), sys.stdout, sort_keys=False, default_flow_style=None, width=120)
