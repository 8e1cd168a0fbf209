"""Write a run as a folder that timm and the model hub read. See `python -m mpox.publish --help`."""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "publish",
    "Write a run as a folder that timm and the model hub read: weights, configuration, model card",
    work="mpox.commands.publish:run",
    examples=(
        "python -m mpox.publish run=runs/mine/tf_efficientnet_lite0/fold-all to=published",
        "python -m mpox.publish run=runs/mine/tf_efficientnet_lite0/fold-0 to=published licence=apache-2.0",
        "python -m mpox.publish run=runs/mine/resnet50/fold-all to=published licence=cc-by-4.0 overwrite=true",
    ),
    place="to",
)


def main() -> None:
    """Run `python -m mpox.publish`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
