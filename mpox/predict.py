"""Classify photos with an exported model or a run. See `python -m mpox.predict --help`."""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "predict",
    "Classify photos with an exported model or a run",
    work="mpox.commands.predict:run",
    examples=(
        "python -m mpox.predict model=exports/mine photos=photo.jpg",
        "python -m mpox.predict model=exports/mine photos=folder maps=maps",
        "python -m mpox.predict model=runs/mine/tf_efficientnet_lite0/fold-0 photos=folder out=answers.csv",
    ),
    renamed={"model": "of"},
    place="out",
)


def main() -> None:
    """Run `python -m mpox.predict`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
