"""Turn a finished run into a file for phones, verified to agree with it. See `python -m mpox.export --help`."""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "export",
    "Turn a finished run into a file for phones, and verify that it agrees with the network",
    work="mpox.commands.export:run",
    examples=(
        "python -m mpox.export run=runs/mine/tf_efficientnet_lite0/fold-0",
        "python -m mpox.export chosen=runs/mine/comparison/chosen.yaml",
        "python -m mpox.export run=runs/mine/tf_efficientnet_lite0/fold-0 format=onnx recipe=fp32",
    ),
    place="exports_dir",
)


def main() -> None:
    """Run `python -m mpox.export`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
