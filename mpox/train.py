"""Train one CNN on one fold; with -m every CNN on every fold. See `python -m mpox.train --help`."""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "train",
    "Train one CNN on one fold; with -m every CNN on every fold",
    work="mpox.training.hydra_task:task",
    examples=(
        "python -m mpox.train",
        "python -m mpox.train data=folder data.root=photos study=mine",
        "python -m mpox.train -m study=mine 'model=glob(*)' 'fold=range(10)'",
    ),
    jobs=True,
)


def main() -> None:
    """Run `python -m mpox.train`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
