"""Check the installation, the data and the weights before a study. See `python -m mpox.doctor --help`."""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "doctor",
    "Check the installation, the data and the weights before a study",
    work="mpox.commands.doctor:run",
    examples=(
        "python -m mpox.doctor",
        "python -m mpox.doctor data=folder data.root=photos",
        "python -m mpox.doctor weights=bundled logger=none",
    ),
    config="train",
    extra=("~hydra.callbacks.study",),
)


def main() -> None:
    """Run `python -m mpox.doctor`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
