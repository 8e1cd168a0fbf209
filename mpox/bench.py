"""Measure an export on this machine or on an attached phone. See `python -m mpox.bench --help`."""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "bench",
    "Measure an export on this machine or on an attached phone",
    work="mpox.commands.bench:run",
    examples=(
        "python -m mpox.bench model=exports/mine",
        "python -m mpox.bench model=exports/mine run=runs/mine/tf_efficientnet_lite0/fold-0",
        "python -m mpox.bench model=exports/mine device=adb runner=executor_runner",
    ),
    renamed={"model": "of"},
    place="output",
)


def main() -> None:
    """Run `python -m mpox.bench`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
